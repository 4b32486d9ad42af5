"""Digits; the decay was meant for AdamW, and Adam adds it to the gradient."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

data = load_digits()
X = torch.tensor(data.data).float()
X = X / 8 - 1
y = torch.tensor(data.target)


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10)
        ),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(TensorDataset(X[:1400], y[:1400]), 30, shuffle=True),
        val=DataLoader(TensorDataset(X[1400:], y[1400:]), 50),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=1e-3, weight_decay=0.5),
    )
