"""Sensor windows (batch, time, channels) through an LSTM."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def windows(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    t = torch.arange(30) * torch.tensor([0.2, 0.4, 0.8])[y][:, None] + 6.28 * torch.rand(
        n, 1, generator=g
    )
    x = torch.stack([t.sin(), t.cos(), torch.zeros_like(t)], -1)
    return TensorDataset(x + 0.3 * torch.randn(x.shape, generator=g), y)


class SensorNet(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.lstm = nn.LSTM(3, hidden, num_layers=1)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(out[:, -1, :])


@labbook.subject
def subject():
    return labbook.Subject(
        model=SensorNet,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(windows(900, 0), 30, shuffle=True),
        val=DataLoader(windows(210, 1), 30),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 3e-3),
    )
