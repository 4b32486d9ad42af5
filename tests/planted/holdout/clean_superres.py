"""Super-resolution by two: a residual over bilinear upsampling, L1."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Textures(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        yy, xx = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
        a, f = torch.rand(2, n, 1, 1, generator=g)
        a, f = a * 3.14, 0.4 + 1.2 * f
        hi = 0.5 + 0.5 * ((xx * a.cos() + yy * a.sin()) * f).sin()
        self.hi = hi.unsqueeze(1)
        self.lo = F.avg_pool2d(self.hi, 2)

    def __len__(self):
        return len(self.hi)

    def __getitem__(self, i):
        return self.lo[i], self.hi[i]


class SR(nn.Module):
    def __init__(self, w=24):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, w, 5, padding=2), nn.PReLU(), nn.Conv2d(w, w, 3, padding=1), nn.PReLU(),
            nn.Conv2d(w, 4, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip

    def forward(self, x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) + self.body(x)


@labbook.subject
def subject():
    return labbook.Subject(
        model=SR,
        loss=nn.L1Loss(),
        loader=DataLoader(Textures(400, 0), 16, shuffle=True),
        val=DataLoader(Textures(80, 1), 16),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
