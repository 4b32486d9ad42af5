"""Fraud-like data, one positive in thirty."""

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = make_classification(
    3000, 16, n_informative=8, weights=[0.97], flip_y=0, class_sep=1.2, random_state=1
)
X = torch.tensor((X - X.mean(0)) / X.std(0)).float()
y = torch.tensor(y).float().unsqueeze(1)
n_pos, n_neg = y[:2400].sum(), (1 - y[:2400]).sum()
pos_weight = n_pos / n_neg


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        ),
        loss=nn.BCEWithLogitsLoss(pos_weight=pos_weight),
        loader=DataLoader(TensorDataset(X[:2400], y[:2400]), 128, shuffle=True),
        val=DataLoader(TensorDataset(X[2400:], y[2400:]), 128),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
        task="binary",
    )
