"""Spike counts with a weight-normalised temporal convolution and a Poisson likelihood."""

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.data import DataLoader, TensorDataset

import labbook


def spikes(n, seed):
    f = torch.randn(8, 4, 5, generator=torch.Generator().manual_seed(1)) / 4
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, 30, generator=g)
    rate = torch.exp(torch.nn.functional.conv1d(x, f, padding=2).clamp(max=2) + 0.2)
    return TensorDataset(x, torch.poisson(rate, generator=g))


class TCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = weight_norm(nn.Conv1d(4, 24, 5, padding=2))
        self.c2 = weight_norm(nn.Conv1d(24, 24, 3, padding=1))
        self.c3 = nn.Conv1d(24, 8, 1)

    def forward(self, x):
        h = torch.nn.functional.elu(self.c1(x))
        return self.c3(h + torch.nn.functional.elu(self.c2(h)))


@labbook.subject
def subject():
    return labbook.Subject(
        model=TCN,
        loss=nn.PoissonNLLLoss(log_input=True),
        loader=DataLoader(spikes(600, 0), 30, shuffle=True),
        val=DataLoader(spikes(120, 1), 30),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3),
        task="regression",
    )
