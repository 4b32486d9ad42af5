"""Digits with an exponential moving average; the average is what is evaluated."""

import copy

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_digits()
x, y = torch.tensor(d.images).float()[:, None] / 16, torch.tensor(d.target)
train_loader = DataLoader(TensorDataset(x[:1400], y[:1400]), 32, shuffle=True)
val_loader = DataLoader(TensorDataset(x[1400:], y[1400:]), 64)


def build():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU(), nn.Conv2d(16, 32, 3, 2, 1),
        nn.GroupNorm(4, 32), nn.SiLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


class EMA:
    def __init__(self, model, decay=0.98):
        self.shadow, self.decay = copy.deepcopy(model).requires_grad_(False), decay

    @torch.no_grad()
    def update(self, model):
        for s, p in zip(self.shadow.parameters(), model.parameters(), strict=True):
            s.lerp_(p, 1 - self.decay)


def train(model, optimizer, n_steps):
    ema = EMA(model)
    model.train()
    step = 0
    while step < n_steps:
        for xb, yb in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
            ema.update(model)
            step += 1
            if step == n_steps:
                break
    return ema.shadow


@torch.no_grad()
def evaluate(model):
    was = model.training
    model.eval()
    total = sum((model(a).argmax(1) == b).sum().item() for a, b in val_loader)
    model.train(was)
    return total / len(val_loader.dataset)


@labbook.subject
def subject():
    return labbook.Subject(
        model=build, loss=F.cross_entropy, loader=train_loader, val=val_loader, train=train, evaluate=evaluate,
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3),
    )  # fmt: skip
