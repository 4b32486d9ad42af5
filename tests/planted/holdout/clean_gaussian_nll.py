"""Mean and variance of a heteroscedastic target; the likelihood may be negative."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def make(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, generator=g) * 4 - 2
    y = torch.sin(2 * x) + (0.05 + 0.2 * x.abs()) * torch.randn(n, 1, generator=g)
    return TensorDataset(x, y)


class MeanVar(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
        )

    def forward(self, x):
        mean, raw = self.net(x).chunk(2, -1)
        return mean, nn.functional.softplus(raw) + 1e-3


def nll(out, y):
    return nn.functional.gaussian_nll_loss(out[0], y, out[1])


@labbook.subject
def subject():
    return labbook.Subject(
        model=MeanVar,
        loss=nll,
        loader=DataLoader(make(1500, 0), 50, shuffle=True),
        val=DataLoader(make(300, 1), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
