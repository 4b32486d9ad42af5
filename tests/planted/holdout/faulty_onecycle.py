"""Digits with a one-cycle schedule."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_digits()
x, y = torch.tensor(d.images).float().unsqueeze(1) / 16, torch.tensor(d.target)
loader = DataLoader(TensorDataset(x[:1400], y[:1400]), 50, shuffle=True, drop_last=True)
val = DataLoader(TensorDataset(x[1400:], y[1400:]), 50)


def net():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1),
        nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def train(model, optimizer, n_steps):
    sched = OneCycleLR(optimizer, max_lr=0.2, total_steps=max(n_steps, 2) * len(loader))
    model.train()
    it = iter(())
    for _ in range(n_steps):
        batch = next(it, None)
        if batch is None:
            it = iter(loader)
            batch = next(it)
        xb, yb = batch
        optimizer.zero_grad()
        F.cross_entropy(model(xb), yb).backward()
        optimizer.step()
        sched.step()


@labbook.subject
def subject():
    return labbook.Subject(
        model=net, loss=F.cross_entropy, loader=loader, val=val, train=train,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.2, momentum=0.9),
    )  # fmt: skip
