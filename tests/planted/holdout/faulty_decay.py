"""Breast cancer; the decay was meant for another optimizer."""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

data = load_breast_cancer()
X = torch.tensor(data.data).float()
X = (X - X[:420].mean(0)) / X[:420].std(0)
y = torch.tensor(data.target)


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(30, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 2)
        ),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(TensorDataset(X[:420], y[:420]), 30, shuffle=True),
        val=DataLoader(TensorDataset(X[420:], y[420:]), 149),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=3e-3, weight_decay=10.0),
    )
