"""One positive in fifty, weighted."""

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = make_classification(4000, 20, n_informative=8, weights=[0.98], flip_y=0.002, random_state=8)
X = torch.tensor((X - X.mean(0)) / X.std(0)).float()
y = torch.tensor(y).float()
train_y = y[:3200]
weight = (len(train_y) - train_y.sum()) / train_y.sum()


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.score = nn.Linear(32, 1)

    def forward(self, x):
        return self.score(self.body(x)).squeeze(-1)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Detector,
        loss=nn.BCEWithLogitsLoss(pos_weight=weight),
        loader=DataLoader(TensorDataset(X[:3200], train_y), 128, shuffle=True),
        val=DataLoader(TensorDataset(X[3200:], y[3200:]), 200),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
    )
