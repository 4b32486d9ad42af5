"""ViT with a class token and zero-initialised residual branches."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.n1, self.att = nn.LayerNorm(d), nn.MultiheadAttention(d, 4, batch_first=True)
        self.n2, self.ff = (
            nn.LayerNorm(d),
            nn.Sequential(nn.Linear(d, 3 * d), nn.GELU(), nn.Linear(3 * d, d)),
        )
        nn.init.zeros_(self.ff[2].weight)
        nn.init.zeros_(self.ff[2].bias)

    def forward(self, x):
        y = self.n1(x)
        x = x + self.att(y, y, y, need_weights=False)[0]
        return x + self.ff(self.n2(x))


class ViT(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.patch = nn.Conv2d(1, d, 2, 2)
        self.cls, self.pos = (
            nn.Parameter(torch.zeros(1, 1, d)),
            nn.Parameter(0.02 * torch.randn(1, 17, d)),
        )
        self.blocks = nn.Sequential(Block(d), Block(d))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 10)
        nn.init.zeros_(self.head.weight)

    def forward(self, x):
        x = self.patch(x).flatten(2).mT
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


@labbook.subject
def subject():
    d = load_digits()
    x, y = torch.tensor(d.images).float().unsqueeze(1) / 8 - 1, torch.tensor(d.target)
    return labbook.Subject(
        model=ViT,
        loss=nn.CrossEntropyLoss(label_smoothing=0.1),
        loader=DataLoader(TensorDataset(x[:1400], y[:1400]), 50, shuffle=True),
        val=DataLoader(TensorDataset(x[1400:], y[1400:]), 50),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3, weight_decay=0.05),
    )
