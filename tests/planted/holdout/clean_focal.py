"""Rare blobs on a grid: focal loss, with the output's bias set to a prior of one per cent."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def fields(n, seed, s=20):
    g = torch.Generator().manual_seed(seed)
    heat = torch.zeros(n, 1, s, s)
    for k in range(n):
        for _ in range(int(torch.randint(1, 4, (1,), generator=g))):
            a, b = torch.randint(1, s - 1, (2,), generator=g).tolist()
            heat[k, 0, a, b] = 1
    x = F.conv2d(heat, torch.tensor([[[[0.5, 1, 0.5], [1, 2, 1], [0.5, 1, 0.5]]]]), padding=1)
    return TensorDataset(x + 0.3 * torch.randn(x.shape, generator=g), heat)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()
        )
        self.heat = nn.Conv2d(16, 1, 1)
        nn.init.constant_(self.heat.bias, -math.log(99))

    def forward(self, x):
        return self.heat(self.f(x))


def focal(logits, y, gamma=2.0, alpha=0.25):
    ce = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    p = torch.sigmoid(logits)
    pt = p * y + (1 - p) * (1 - y)
    at = alpha * y + (1 - alpha) * (1 - y)
    return (at * (1 - pt) ** gamma * ce).sum() / y.sum().clamp(min=1)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Detector,
        loss=focal,
        loader=DataLoader(fields(500, 0), 20, shuffle=True),
        val=DataLoader(fields(100, 1), 20),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
        task="binary",
    )
