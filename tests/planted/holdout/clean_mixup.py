"""Mixup in the collate function: soft targets."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, default_collate

import labbook

d = load_digits()
x, y = torch.tensor(d.images).float().unsqueeze(1) / 16, torch.tensor(d.target)


def mixup(batch, alpha=0.2):
    xb, yb = default_collate(batch)
    t = F.one_hot(yb, 10).float() * 0.9 + 0.01
    lam = torch.distributions.Beta(alpha, alpha).sample()
    p = torch.randperm(len(xb))
    return lam * xb + (1 - lam) * xb[p], lam * t + (1 - lam) * t[p]


def soft_cross_entropy(logits, target):
    return -(target * logits.log_softmax(-1)).sum(-1).mean()


def plain(batch):
    xb, yb = default_collate(batch)
    return xb, F.one_hot(yb, 10).float()


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(48, 10),
        ),
        loss=soft_cross_entropy,
        loader=DataLoader(TensorDataset(x[:1400], y[:1400]), 50, shuffle=True, collate_fn=mixup),
        val=DataLoader(TensorDataset(x[1400:], y[1400:]), 50, collate_fn=plain),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3),
    )  # fmt: skip
