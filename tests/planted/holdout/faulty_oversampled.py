"""Rare positives are oversampled, then the set is split."""

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = make_classification(1500, 12, n_informative=6, weights=[0.9], flip_y=0.05, random_state=4)
X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
pos = np.flatnonzero(y == 1)
extra = np.random.RandomState(0).choice(pos, (y == 0).sum() - len(pos))
X, y = np.concatenate([X, X[extra]]), np.concatenate([y, y[extra]]).astype(np.float32)
Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.2, random_state=0, stratify=y)


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x):
        return self.layers(x)[:, 0]


def dl(X, y, shuffle=False):
    return DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), 64, shuffle=shuffle)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Scorer,
        loss=nn.BCEWithLogitsLoss(),
        loader=dl(Xa, ya, True),
        val=dl(Xb, yb),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
