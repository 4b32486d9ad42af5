"""Digits embedded on the unit sphere, classified by cosine to learned prototypes."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class Cosine(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, dim))
        self.proto = nn.Parameter(torch.randn(10, dim))

    def forward(self, x):
        z = F.normalize(self.enc(x), dim=0)
        return 16 * z @ F.normalize(self.proto, dim=1).T


@labbook.subject
def subject():
    d = load_digits()
    x, y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)
    return labbook.Subject(
        model=Cosine,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(TensorDataset(x[:1400], y[:1400]), 64, shuffle=True),
        val=DataLoader(TensorDataset(x[1400:], y[1400:]), 64),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
