"""Half of all units dropped, and stochastic depth."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class Residual(nn.Module):
    def __init__(self, d, p):
        super().__init__()
        self.f = nn.Sequential(
            nn.BatchNorm1d(d),
            nn.ReLU(),
            nn.Linear(d, d),
            nn.Dropout(0.5),
            nn.ReLU(),
            nn.Linear(d, d),
        )
        self.p = p

    def forward(self, x):
        y = self.f(x)
        if self.training:
            keep = (torch.rand(len(x), 1) > self.p).float() / (1 - self.p)
            y = y * keep
        return x + y


@labbook.subject
def subject():
    d = load_digits()
    x, y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(64, 128),
            Residual(128, 0.1),
            Residual(128, 0.2),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
        ),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(TensorDataset(x[:1400], y[:1400]), 64, shuffle=True, drop_last=True),
        val=DataLoader(TensorDataset(x[1400:], y[1400:]), 64),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
    )
