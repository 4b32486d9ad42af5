"""A closure-free loop with everything in it."""

import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_wine()
x = torch.tensor((d.data - d.data.mean(0)) / d.data.std(0)).float()
y = torch.tensor(d.target)
p = torch.randperm(178, generator=torch.Generator().manual_seed(0))
dl = DataLoader(TensorDataset(x[p[:140]], y[p[:140]]), 20, shuffle=True)
vl = DataLoader(TensorDataset(x[p[140:]], y[p[140:]]), 38)
ce = nn.CrossEntropyLoss()


def run(model, optimizer, n_steps):
    i = 0
    while i < n_steps:
        for xb, yb in dl:
            loss = ce(model(xb), yb)
            loss.backward()
            optimizer.zero_grad()
            optimizer.step()
            i += 1
            if i == n_steps:
                break


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3)),
        loss=ce, loader=dl, val=vl, train=run, optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-2),
    )  # fmt: skip
