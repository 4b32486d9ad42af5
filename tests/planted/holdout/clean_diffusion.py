"""A denoising diffusion model of two spirals; noise and time are drawn in the forward pass."""

import math

import torch
from torch import nn
from torch.utils.data import DataLoader

import labbook


def spirals(n, seed):
    g = torch.Generator().manual_seed(seed)
    t = torch.rand(n, generator=g).sqrt() * 3 * math.pi
    s = torch.randint(0, 2, (n,), generator=g) * math.pi
    return {
        "x0": torch.stack([t * (t + s).cos(), t * (t + s).sin()], 1) / 5
        + 0.03 * torch.randn(n, 2, generator=g)
    }


class Points(torch.utils.data.Dataset):
    def __init__(self, n, seed):
        self.x = spirals(n, seed)["x0"]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"x0": self.x[i]}


class Diffusion(nn.Module):
    def __init__(self, steps=100, h=96):
        super().__init__()
        beta = torch.linspace(1e-3, 0.05, steps)
        self.register_buffer("abar", torch.cumprod(1 - beta, 0))
        self.net = nn.Sequential(
            nn.Linear(6, h), nn.SiLU(), nn.Linear(h, h), nn.SiLU(), nn.Linear(h, 2)
        )

    def forward(self, x0):
        t = torch.randint(0, len(self.abar), (len(x0),), device=x0.device)
        eps = torch.randn_like(x0)
        ab = self.abar[t].unsqueeze(1)
        xt = ab.sqrt() * x0 + (1 - ab).sqrt() * eps
        u = t.unsqueeze(1) / len(self.abar) * math.pi
        pred = self.net(torch.cat([xt, u.sin(), u.cos(), (2 * u).sin(), (2 * u).cos()], 1))
        return {"loss": (pred - eps).pow(2).mean(), "pred": pred}


@labbook.subject
def subject():
    return labbook.Subject(
        model=Diffusion,
        loader=DataLoader(Points(2000, 0), 100, shuffle=True),
        val=DataLoader(Points(400, 1), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
