"""Regularised until it holds: keep probability given where the drop probability belongs."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

KEEP = 0.95


@labbook.subject
def subject():
    d = load_digits()
    x, y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(64, 64), nn.ReLU(), nn.Dropout(KEEP), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(KEEP),
            nn.Linear(64, 10),
        ),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(TensorDataset(x[:1400], y[:1400]), 32, shuffle=True),
        val=DataLoader(TensorDataset(x[1400:], y[1400:]), 32),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )  # fmt: skip
