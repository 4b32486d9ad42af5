"""An autoencoder with a bottleneck of two numbers."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Flat(Dataset):
    def __init__(self, part):
        x = torch.tensor(load_digits().data).float() / 16
        p = torch.randperm(len(x), generator=torch.Generator().manual_seed(2))
        self.x = x[p[:1400]] if part == "train" else x[p[1400:]]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.x[i]


class AE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(
            nn.Linear(64, 64), nn.ELU(), nn.Linear(64, 32), nn.ELU(), nn.Linear(32, 2)
        )
        self.dec = nn.Sequential(
            nn.Linear(2, 32), nn.ELU(), nn.Linear(32, 64), nn.ELU(), nn.Linear(64, 64), nn.Sigmoid()
        )

    def forward(self, x):
        return self.dec(self.enc(x))


@labbook.subject
def subject():
    return labbook.Subject(
        model=AE,
        loss=nn.MSELoss(),
        loader=DataLoader(Flat("train"), 64, shuffle=True),
        val=DataLoader(Flat("val"), 64),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
