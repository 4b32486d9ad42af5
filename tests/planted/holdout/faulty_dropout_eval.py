"""Breast cancer with dropout and an evaluation in between."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = load_breast_cancer(return_X_y=True)
a, b, ya, yb = train_test_split(X, y, test_size=150, random_state=0, stratify=y)
s = StandardScaler().fit(a)
train_ds = TensorDataset(torch.tensor(s.transform(a)).float(), torch.tensor(ya))
test_ds = TensorDataset(torch.tensor(s.transform(b)).float(), torch.tensor(yb))
train_dl = DataLoader(train_ds, 32, shuffle=True)
test_dl = DataLoader(test_ds, 50)


def net():
    return nn.Sequential(
        nn.Linear(30, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 2),
    )  # fmt: skip


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for xb, yb in train_dl:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                break


@torch.no_grad()
def evaluate(model):
    hits, loss = 0, 0.0
    for xb, yb in test_dl:
        out = model(xb)
        hits += (out.argmax(-1) == yb).sum().item()
        loss += F.cross_entropy(out, yb, reduction="sum").item()
    return {"accuracy": hits / len(test_ds), "loss": loss / len(test_ds)}


@labbook.subject
def subject():
    return labbook.Subject(
        model=net, loss=F.cross_entropy, loader=train_dl, val=test_dl, train=train, evaluate=evaluate,
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
    )  # fmt: skip
