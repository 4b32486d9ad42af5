"""Pinball loss for the 5th, 50th and 95th percentile."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def make(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 2, generator=g) * 2 - 1
    y = (3 * x[:, 0]).sin() + x[:, 1] * torch.randn(n, generator=g) * 0.5
    return TensorDataset(x, y)


class Quantiles(nn.Module):
    def __init__(self, levels=(0.05, 0.5, 0.95)):
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels))
        self.net = nn.Sequential(
            nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, len(levels))
        )

    def forward(self, x):
        return self.net(x)


def pinball(pred, y, levels=torch.tensor([0.05, 0.5, 0.95])):
    e = y.unsqueeze(1) - pred
    return torch.max(levels * e, (levels - 1) * e).sum(1).mean()


@labbook.subject
def subject():
    return labbook.Subject(
        model=Quantiles,
        loss=pinball,
        loader=DataLoader(make(1600, 0), 64, shuffle=True),
        val=DataLoader(make(400, 1), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
