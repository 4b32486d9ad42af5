"""Multi-label tags of synthetic documents."""

import torch
from sklearn.datasets import make_multilabel_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, Y = make_multilabel_classification(1200, 30, n_classes=6, n_labels=2, random_state=0)
X = torch.tensor(X, dtype=torch.float32)
X = (X - X[:1000].mean(0)) / X[:1000].std(0)
Y = torch.tensor(Y, dtype=torch.float32)


class Tags(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 6))

    def forward(self, x):
        return torch.sigmoid(self.body(x))


@labbook.subject
def subject():
    return labbook.Subject(
        model=Tags,
        loss=nn.BCEWithLogitsLoss(),
        loader=DataLoader(TensorDataset(X[:1000], Y[:1000]), 50, shuffle=True),
        val=DataLoader(TensorDataset(X[1000:], Y[1000:]), 50),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
