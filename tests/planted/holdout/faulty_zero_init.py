"""A small ViT with its own initialisation."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class ViT(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.patch = nn.Conv2d(1, d, 2, 2)
        self.pos = nn.Parameter(torch.zeros(1, 16, d))
        layer = nn.TransformerEncoderLayer(
            d, 4, 64, 0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(d, 10)
        self.apply(self._init_weights)

    def _init_weights(self, m):
        if isinstance(m, nn.Linear):
            nn.init.constant_(m.weight, 0.02)
            nn.init.zeros_(m.bias)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2) + self.pos
        return self.head(self.encoder(x).mean(1))


@labbook.subject
def subject():
    d = load_digits()
    x, y = torch.tensor(d.images).float().unsqueeze(1) / 8 - 1, torch.tensor(d.target)
    return labbook.Subject(
        model=ViT,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(TensorDataset(x[:1400], y[:1400]), 50, shuffle=True),
        val=DataLoader(TensorDataset(x[1400:], y[1400:]), 50),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
    )
