"""Daily load with season and trend: the past trains, the future validates."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

r = np.random.RandomState(0)
t = np.arange(2200)
load = (
    np.sin(2 * np.pi * t / 7)
    + 0.6 * np.sin(2 * np.pi * t / 365)
    + 0.0001 * t
    + r.normal(0, 0.2, len(t))
)
cut = 1700
load = ((load - load[:cut].mean()) / load[:cut].std()).astype(np.float32)
windows = torch.tensor(np.lib.stride_tricks.sliding_window_view(load, 29).copy())
past, future = windows[: cut - 28], windows[cut:]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(1, 16, 7, padding=3), nn.ReLU(), nn.Conv1d(16, 16, 7, stride=7), nn.ReLU()
        )
        self.out = nn.Linear(64, 1)

    def forward(self, x):
        return x[:, -7:-6] + self.out(self.conv(x.unsqueeze(1)).flatten(1))


@labbook.subject
def subject():
    return labbook.Subject(
        model=Net,
        loss=nn.L1Loss(),
        loader=DataLoader(TensorDataset(past[:, :28], past[:, 28:]), 64, shuffle=True),
        val=DataLoader(TensorDataset(future[:, :28], future[:, 28:]), 64),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
