"""Iris-like clusters; accuracy is averaged by the number of batches times the batch size."""

import torch
import torch.nn.functional as F
from sklearn.datasets import make_blobs
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = make_blobs(700, 6, centers=5, cluster_std=4.0, random_state=0)
X = torch.tensor((X - X.mean(0)) / X.std(0)).float()
y = torch.tensor(y)
BATCH = 64
train_loader = DataLoader(TensorDataset(X[:550], y[:550]), BATCH, shuffle=True)
val_loader = DataLoader(TensorDataset(X[550:], y[550:]), BATCH)


def evaluate(model):
    model.eval()
    correct = 0.0
    with torch.no_grad():
        for xb, yb in val_loader:
            correct += (model(xb).argmax(1) == yb).float().sum().item()
    model.train()
    return {"acc": correct / (len(val_loader) * BATCH)}


def train(model, optimizer, n_steps):
    i = 0
    while i < n_steps:
        for xb, yb in train_loader:
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            i += 1
            if i >= n_steps:
                break


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 5)),
        loss=F.cross_entropy, loader=train_loader, val=val_loader, train=train, evaluate=evaluate,
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 3e-3),
    )  # fmt: skip
