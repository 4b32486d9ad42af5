"""A robust loss: no example may cost more than one."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def robust(logits, target):
    per_example = F.cross_entropy(logits, target, reduction="none")
    return per_example.clamp(max=2.0).mean()


@labbook.subject
def subject():
    d = load_digits()
    x, y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        loss=robust,
        loader=DataLoader(TensorDataset(x[:1400], y[:1400]), 32, shuffle=True),
        val=DataLoader(TensorDataset(x[1400:], y[1400:]), 32),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.05, momentum=0.9),
    )
