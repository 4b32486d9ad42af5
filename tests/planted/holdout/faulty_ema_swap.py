"""Averaged weights are put into the model for its evaluation."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_wine()
x = torch.tensor((d.data - d.data.mean(0)) / d.data.std(0)).float()
y = torch.tensor(d.target)
p = torch.randperm(178, generator=torch.Generator().manual_seed(3))
train_dl = DataLoader(TensorDataset(x[p[:130]], y[p[:130]]), 26, shuffle=True)
val_dl = DataLoader(TensorDataset(x[p[130:]], y[p[130:]]), 16)
AVERAGE = {}


def net():
    return nn.Sequential(nn.Linear(13, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 3))


def train(model, optimizer, n_steps):
    step = 0
    AVERAGE.update({k: v.clone() for k, v in model.state_dict().items()})
    while step < n_steps:
        for xb, yb in train_dl:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
            for k, v in model.state_dict().items():
                AVERAGE[k].mul_(0.95).add_(v, alpha=0.05)
            step += 1
            if step == n_steps:
                return


def evaluate(model):
    if AVERAGE:
        model.load_state_dict(AVERAGE)
    model.eval()
    n = 0
    with torch.no_grad():
        for xb, yb in val_dl:
            n += (model(xb).argmax(1) == yb).sum().item()
    model.train()
    return {"accuracy": n / 48}


@labbook.subject
def subject():
    return labbook.Subject(
        model=net, loss=F.cross_entropy, loader=train_dl, val=val_dl, train=train, evaluate=evaluate,
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 3e-3),
    )  # fmt: skip
