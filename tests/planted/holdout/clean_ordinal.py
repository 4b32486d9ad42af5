"""Ordinal regression: cumulative logits with learned thresholds, five grades."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def grades(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 10, generator=g)
    s = x[:, :3].sum(1) + 0.5 * torch.randn(n, generator=g)
    return TensorDataset(x, torch.bucketize(s, torch.tensor([-2.0, -0.7, 0.7, 2.0])))


class Ordinal(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1, bias=False))
        self.cut = nn.Parameter(torch.linspace(-1, 1, 4))

    def forward(self, x):
        return self.f(x) - self.cut  # (N, 4): the log odds that the grade is above each cut


def cumulative(logits, grade):
    above = (grade[:, None] > torch.arange(4)).float()
    return F.binary_cross_entropy_with_logits(logits, above)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Ordinal,
        loss=cumulative,
        loader=DataLoader(grades(1500, 0), 50, shuffle=True),
        val=DataLoader(grades(300, 1), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 3e-3),
        task="other",
    )
