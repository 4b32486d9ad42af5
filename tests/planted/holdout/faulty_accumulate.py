"""Digits with gradient accumulation over eight small batches, SGD."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_digits()
x = torch.tensor(d.data, dtype=torch.float32) / 8 - 1
y = torch.tensor(d.target)
order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
train_ds = TensorDataset(x[order[:1500]], y[order[:1500]])
val_ds = TensorDataset(x[order[1500:]], y[order[1500:]])
ACCUM = 8
loader = DataLoader(train_ds, 8, shuffle=True, drop_last=True)


def model():
    return nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 10))


def train(net, opt, n_steps):
    done, micro = 0, 0
    opt.zero_grad()
    while True:
        for xb, yb in loader:
            F.cross_entropy(net(xb), yb).backward()
            micro += 1
            if micro % ACCUM == 0:
                opt.step()
                opt.zero_grad()
                done += 1
                if done == n_steps:
                    return


@labbook.subject
def subject():
    return labbook.Subject(
        model=model,
        loss=F.cross_entropy,
        loader=loader,
        val=DataLoader(val_ds, 99),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.2, momentum=0.9),
        train=train,
    )
