"""Sixty examples of iris for training, ninety for validation."""

import torch
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = load_iris(return_X_y=True)
Xa, Xb, ya, yb = train_test_split(X, y, train_size=60, stratify=y, random_state=0)
m, s = Xa.mean(0), Xa.std(0)


def to(X, y):
    return TensorDataset(torch.tensor((X - m) / s, dtype=torch.float32), torch.tensor(y))


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(to(Xa, ya), 10, shuffle=True),
        val=DataLoader(to(Xb, yb), 90),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-2, weight_decay=1e-3),
    )
