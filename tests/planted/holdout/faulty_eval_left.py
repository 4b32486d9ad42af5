"""A validation loss every few steps, inside the loop."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_digits()
x, y = torch.tensor(d.images).float().unsqueeze(1) / 16, torch.tensor(d.target)
dl = DataLoader(TensorDataset(x[:1400], y[:1400]), 50, shuffle=True)
vl = DataLoader(TensorDataset(x[1400:], y[1400:]), 100)


def validate(model):
    model.eval()
    with torch.no_grad():
        s = sum(F.cross_entropy(model(a), b, reduction="sum").item() for a, b in vl)
    return {"val_loss": s / len(vl.dataset)}


def train(model, optimizer, n_steps, every=4):
    model.train()
    done = 0
    while done < n_steps:
        for a, b in dl:
            optimizer.zero_grad()
            F.cross_entropy(model(a), b).backward()
            optimizer.step()
            done += 1
            if done % every == 0:
                validate(model)
            if done == n_steps:
                break


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(576, 10)
        ),
        loss=F.cross_entropy, loader=dl, val=vl, train=train, evaluate=validate,
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )  # fmt: skip
