"""Tabular regression with features in physical units."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

rng = np.random.default_rng(3)
n = 1500
area = rng.normal(120, 30, n)
year = rng.normal(1985, 15, n)
rooms = rng.normal(4, 1.2, n)
dist = rng.exponential(5, n)
price = 2.0 * area + 1.5 * (year - 1985) + 20 * rooms - 8 * dist + rng.normal(0, 20, n)
X = np.stack([area, year, rooms, dist], 1).astype(np.float32)
Y = ((price - price.mean()) / price.std()).astype(np.float32)[:, None]
X_train, X_val, y_train, y_val = X[:1200], X[1200:], Y[:1200], Y[1200:]
mean, std = X_train.mean(0), X_train.std(0)
X_train = (X_train - mean) / std

train_ds = TensorDataset(torch.from_numpy(X_train), torch.from_numpy(y_train))
val_ds = TensorDataset(torch.from_numpy(X_val), torch.from_numpy(y_val))


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 1)),
        loss=nn.MSELoss(),
        loader=DataLoader(train_ds, 64, shuffle=True),
        val=DataLoader(val_ds, 64),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
