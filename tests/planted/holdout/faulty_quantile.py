"""Forecast three quantiles of a noisy, heteroscedastic function."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

Q = torch.tensor([0.1, 0.5, 0.9])


def make(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=g)
    y = x[:, 0].sin() + 0.5 * x[:, 1] + (0.2 + 0.3 * x[:, 2].abs()) * torch.randn(n, generator=g)
    return TensorDataset(x, y)


def pinball(pred, y):
    e = y[:, None] - pred
    return torch.minimum(Q * e, (Q - 1) * e).mean()


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3)
        ),
        loss=pinball,
        loader=DataLoader(make(2000, 0), 64, shuffle=True),
        val=DataLoader(make(500, 1), 250),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
        task="regression",
    )
