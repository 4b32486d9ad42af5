"""Friedman's regression problem, standardised."""

import torch
from sklearn.datasets import make_friedman1
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = make_friedman1(1200, noise=0.5, random_state=0)
X = torch.tensor((X - 0.5) / 0.289).float()
y = torch.tensor((y - y.mean()) / y.std()).float().unsqueeze(1)


def block(i, o):
    return nn.Sequential(nn.Linear(i, o), nn.ReLU())


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(block(10, 64), block(64, 64), block(64, 1)),
        loss=nn.MSELoss(),
        loader=DataLoader(TensorDataset(X[:1000], y[:1000]), 50, shuffle=True),
        val=DataLoader(TensorDataset(X[1000:], y[1000:]), 50),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
