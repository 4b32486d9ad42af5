"""A float64 net with sines fits a function to high precision."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x)


def make(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 2, generator=g, dtype=torch.float64) * 2 - 1
    u = torch.sin(3.0 * x[:, :1]) * torch.exp(-(x[:, 1:] ** 2))
    return TensorDataset(x, u)


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(2, 40), Sine(), nn.Linear(40, 40), Sine(), nn.Linear(40, 1)
        ).double(),
        loss=lambda u, v: ((u - v) ** 2).mean(),
        loader=DataLoader(make(1000, 0), 50, shuffle=True),
        val=DataLoader(make(300, 1), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
