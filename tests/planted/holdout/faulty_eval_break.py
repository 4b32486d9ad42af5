"""Evaluation over what was meant to be everything."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_digits()
x, y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)
train_dl = DataLoader(TensorDataset(x[:1300], y[:1300]), 50, shuffle=True)
val_dl = DataLoader(TensorDataset(x[1300:], y[1300:]), 50)


class Trainer:
    def __init__(self, model, optimizer):
        self.model, self.optimizer = model, optimizer

    def step(self, xb, yb):
        self.model.train()
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(xb), yb)
        loss.backward()
        self.optimizer.step()

    def fit(self, n):
        while True:
            for xb, yb in train_dl:
                if n <= 0:
                    return
                self.step(xb, yb)
                n -= 1


def evaluate(model):
    model.eval()
    with torch.no_grad():
        hits = seen = 0
        for xb, yb in val_dl:
            hits += (model(xb).argmax(1) == yb).sum().item()
            seen += len(yb)
            return {"accuracy": hits / seen}


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10)),
        loss=F.cross_entropy, loader=train_dl, val=val_dl, evaluate=evaluate,
        train=lambda m, o, n: Trainer(m, o).fit(n),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )  # fmt: skip
