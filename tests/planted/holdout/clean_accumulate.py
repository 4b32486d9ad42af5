"""Accumulation over four batches, divided, and clipped at a generous norm."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_digits()
x, y = torch.tensor(d.data).float() / 8 - 1, torch.tensor(d.target)
loader = DataLoader(TensorDataset(x[:1408], y[:1408]), 16, shuffle=True, drop_last=True)
val = DataLoader(TensorDataset(x[1408:], y[1408:]), 64)
ACCUM = 4


def train(model, optimizer, n_steps):
    model.train()
    steps = 0
    while steps < n_steps:
        optimizer.zero_grad()
        for i, (xb, yb) in enumerate(loader):
            loss = F.cross_entropy(model(xb), yb) / ACCUM
            loss.backward()
            if (i + 1) % ACCUM == 0:
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                optimizer.zero_grad()
                steps += 1
                if steps == n_steps:
                    break


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 10)),
        loss=F.cross_entropy, loader=loader, val=val, train=train,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.1, momentum=0.9),
    )  # fmt: skip
