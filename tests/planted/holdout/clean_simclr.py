"""Contrastive learning: the loss compares the examples of a batch with each other."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class TwoViews(Dataset):
    def __init__(self, lo, hi):
        self.x = torch.tensor(load_digits().images[lo:hi]).float().unsqueeze(1) / 16

    def view(self, x):
        dx, dy = torch.randint(-1, 2, (2,)).tolist()
        return torch.roll(x, (dx, dy), (1, 2)) + 0.1 * torch.randn_like(x)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"a": self.view(self.x[i]), "b": self.view(self.x[i])}


class SimCLR(nn.Module):
    def __init__(self, tau=0.2):
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(128, 64),
        )
        self.g = nn.Sequential(nn.ReLU(), nn.Linear(64, 32))
        self.tau = tau

    def forward(self, a, b):
        za, zb = (F.normalize(self.g(self.f(v)), dim=-1) for v in (a, b))
        logits = za @ zb.T / self.tau
        t = torch.arange(len(a), device=a.device)
        return {
            "loss": (F.cross_entropy(logits, t) + F.cross_entropy(logits.T, t)) / 2,
            "logits": logits,
        }


@labbook.subject
def subject():
    return labbook.Subject(
        model=SimCLR,
        loader=DataLoader(TwoViews(0, 1400), 64, shuffle=True, drop_last=True),
        val=DataLoader(TwoViews(1400, 1797), 64),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
