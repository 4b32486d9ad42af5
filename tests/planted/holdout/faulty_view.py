"""(batch, time, channels) brought to (time, batch, channels) for a GRU by view."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def rhythm(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (n,), generator=g)
    period = torch.where(y == 1, 4, 6)
    t = torch.arange(24)[None] + torch.randint(0, 12, (n, 1), generator=g)
    beat = (t % period[:, None] == 0).float()
    x = torch.stack([beat, torch.randn(n, 24, generator=g) * 0.5], -1)
    return TensorDataset(x, y.float())


class Rhythm(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 32)
        self.out = nn.Linear(32, 1)

    def forward(self, x):
        n, t, c = x.shape
        _, h = self.gru(x.reshape(t, n, c))
        return self.out(h[-1]).squeeze(1)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Rhythm,
        loss=nn.BCEWithLogitsLoss(),
        loader=DataLoader(rhythm(1000, 0), 40, shuffle=True),
        val=DataLoader(rhythm(200, 1), 40),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 3e-3),
    )
