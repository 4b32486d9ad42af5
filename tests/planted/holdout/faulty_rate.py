"""Digits with a deep plain network and a rate from another project."""

import itertools

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [64, 128, 128, 64, 64, 10]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


@labbook.subject
def subject():
    d = load_digits()
    x, y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)
    return labbook.Subject(
        model=Deep,
        loss=F.cross_entropy,
        loader=DataLoader(TensorDataset(x[:1400], y[:1400]), 50, shuffle=True),
        val=DataLoader(TensorDataset(x[1400:], y[1400:]), 50),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=0.3),
    )
