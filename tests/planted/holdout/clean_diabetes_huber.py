"""Diabetes progression: explained variance stays near 0.5, whatever one does."""

import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = load_diabetes(return_X_y=True, scaled=False)
Xa, Xb, ya, yb = train_test_split(X, y, test_size=0.25, random_state=0)
sx, sy = StandardScaler().fit(Xa), StandardScaler().fit(ya[:, None])


def ds(X, y):
    return TensorDataset(
        torch.tensor(sx.transform(X)).float(), torch.tensor(sy.transform(y[:, None])).float()
    )


train_loader = DataLoader(ds(Xa, ya), 32, shuffle=True)
val_loader = DataLoader(ds(Xb, yb), 111)
huber = nn.SmoothL1Loss(beta=0.5)


def build():
    return nn.Sequential(nn.Linear(10, 50), nn.ReLU(), nn.Dropout(0.1), nn.Linear(50, 1))


def train(model, opt, n_steps):
    model.train()
    k = 0
    while k < n_steps:
        for x, t in train_loader:
            opt.zero_grad()
            huber(model(x), t).backward()
            opt.step()
            k += 1
            if k == n_steps:
                return


def evaluate(model):
    model.eval()
    err, tot = 0.0, 0
    with torch.inference_mode():
        for x, t in val_loader:
            err += (model(x) - t).abs().sum().item()
            tot += len(t)
    model.train()
    return {"mae": err / tot}


@labbook.subject
def subject():
    return labbook.Subject(
        model=build, loss=huber, loader=train_loader, val=val_loader, train=train, evaluate=evaluate,
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3, weight_decay=1e-2),
    )  # fmt: skip
