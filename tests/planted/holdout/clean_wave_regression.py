"""Next value of a noisy oscillation with an LSTM."""

import math

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Windows(Dataset):
    def __init__(self, seed, n=2000, k=24):
        g = torch.Generator().manual_seed(seed)
        t = torch.arange(n + k + 1) * 0.2
        s = t.sin() + 0.5 * (math.sqrt(3) * t).sin() + 0.1 * torch.randn(len(t), generator=g)
        self.s, self.k, self.n = s, k, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.s[i : i + self.k, None], self.s[i + self.k : i + self.k + 1]


class Forecaster(nn.Module):
    def __init__(self, h=24):
        super().__init__()
        self.lstm = nn.LSTM(1, h, num_layers=2, batch_first=True, dropout=0.1)
        self.out = nn.Linear(h, 1)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.out(h[-1])


@labbook.subject
def subject():
    return labbook.Subject(
        model=Forecaster,
        loss=nn.MSELoss(),
        loader=DataLoader(Windows(0), 64, shuffle=True),
        val=DataLoader(Windows(1, n=400), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 3e-3),
    )
