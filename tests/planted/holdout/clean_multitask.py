"""One trunk, two heads: the digit and how much ink it has."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Ink(Dataset):
    def __init__(self, lo, hi):
        d = load_digits()
        self.x = torch.tensor(d.data[lo:hi]).float().div(16)
        self.y = torch.tensor(d.target[lo:hi])
        ink = torch.tensor(d.data).float().sum(1)
        self.ink = ((ink - ink.mean()) / ink.std())[lo:hi]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], (self.y[i], self.ink[i])


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU())
        self.digit, self.ink = nn.Linear(96, 10), nn.Linear(96, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.digit(h), self.ink(h).squeeze(-1)


def joint(out, target):
    return F.cross_entropy(out[0], target[0]) + 0.5 * F.smooth_l1_loss(out[1], target[1])


@labbook.subject
def subject():
    return labbook.Subject(
        model=TwoHeads,
        loss=joint,
        loader=DataLoader(Ink(0, 1300), 32, shuffle=True),
        val=DataLoader(Ink(1300, 1797), 64),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
