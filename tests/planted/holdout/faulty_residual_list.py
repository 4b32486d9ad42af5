"""A residual MLP of configurable depth."""

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = make_classification(
    1500, 24, n_informative=12, n_classes=4, n_clusters_per_class=2, random_state=2
)
X, y = torch.from_numpy(X).float(), torch.from_numpy(y)
X = (X - X.mean(0)) / X.std(0)


class Res(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.f = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU(), nn.Linear(d, d))

    def forward(self, x):
        return x + self.f(x)


class ResMLP(nn.Module):
    def __init__(self, depth=4, d=48):
        super().__init__()
        self.inp = nn.Linear(24, d)
        self.blocks = [Res(d) for _ in range(depth)]
        self.out = nn.Linear(d, 4)

    def forward(self, x):
        x = self.inp(x)
        for b in self.blocks:
            x = b(x)
        return self.out(x)


@labbook.subject
def subject():
    return labbook.Subject(
        model=ResMLP,
        loss=nn.CrossEntropyLoss(label_smoothing=0.05),
        loader=DataLoader(TensorDataset(X[:1200], y[:1200]), 64, shuffle=True),
        val=DataLoader(TensorDataset(X[1200:], y[1200:]), 64),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
    )
