"""Which of four wave shapes is it? An LSTM over 40 samples."""

import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def waves(n, seed):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    t = torch.linspace(0, 4 * math.pi, 40)[None] + 6.28 * torch.rand(n, 1, generator=g)
    forms = torch.stack([t.sin(), t.sin().sign(), (t / math.pi) % 2 - 1, (2 * t).sin()], 1)
    x = forms[torch.arange(n), y] + 0.3 * torch.randn(n, 40, generator=g)
    return TensorDataset(x.unsqueeze(-1), y)


class Tagger(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.rnn = nn.LSTM(1, hidden, batch_first=True)
        self.norm = nn.LayerNorm(hidden)
        self.mlp = nn.Sequential(nn.Linear(hidden, 32), nn.GELU(), nn.Linear(32, 4))

    def forward(self, x):
        h, _ = self.rnn(x)
        return self.mlp(self.norm(h.mean(1)))


def configure(model):
    groups = [
        {"params": model.rnn.parameters(), "lr": 1e-3},
        {"params": model.norm.parameters(), "lr": 1e-3, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, weight_decay=0.01)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Tagger,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(waves(600, 0), 32, shuffle=True),
        val=DataLoader(waves(200, 1), 100),
        optimizer=configure,
    )
