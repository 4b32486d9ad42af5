"""Multi-label with logits and rare tags."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

g = torch.Generator().manual_seed(5)
X = torch.randn(1500, 20, generator=g)
W = torch.randn(20, 12, generator=g)
Y = (X @ W / 4 + 0.3 * torch.randn(1500, 12, generator=g) > torch.linspace(0.5, 2.0, 12)).float()


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(20, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 12)
        ),
        loss=nn.BCEWithLogitsLoss(),
        loader=DataLoader(TensorDataset(X[:1200], Y[:1200]), 32, shuffle=True),
        val=DataLoader(TensorDataset(X[1200:], Y[1200:]), 64),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3),
    )
