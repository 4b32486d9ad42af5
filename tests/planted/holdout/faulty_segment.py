"""Segment discs and squares, three classes per pixel."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def scenes(n, seed, s=16):
    g = torch.Generator().manual_seed(seed)
    yy, xx = torch.meshgrid(torch.arange(s), torch.arange(s), indexing="ij")
    c = torch.randint(3, s - 3, (n, 4, 1, 1), generator=g)
    disc = (yy - c[:, 0]) ** 2 + (xx - c[:, 1]) ** 2 <= 9
    box = ((yy - c[:, 2]).abs() <= 2) & ((xx - c[:, 3]).abs() <= 2)
    y = disc.long()
    y[box] = 2
    x = 0.3 * torch.randn(n, 1, s, s, generator=g) + y.unsqueeze(1).float() - 0.4
    return TensorDataset(x, y)


class UNetish(nn.Module):
    def __init__(self, w=16):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(1, w, 3, padding=1), nn.GroupNorm(4, w), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(w, 2 * w, 3, 2, 1), nn.GroupNorm(4, 2 * w), nn.ReLU())
        self.up = nn.ConvTranspose2d(2 * w, w, 2, 2)
        self.out = nn.Conv2d(2 * w, 3, 1)

    def forward(self, x):
        a = self.a(x)
        return self.out(torch.cat([a, self.up(self.b(a))], 1))


def pixel_nll(logits, target):
    return F.nll_loss(F.log_softmax(logits, 0), target)


@labbook.subject
def subject():
    return labbook.Subject(
        model=UNetish,
        loss=pixel_nll,
        loader=DataLoader(scenes(400, 0), 16, shuffle=True),
        val=DataLoader(scenes(100, 1), 20),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
        task="classification",
    )
