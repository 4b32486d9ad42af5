"""Single-head causal attention written out."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

V, T = 16, 20


def data(n, seed):
    g = torch.Generator().manual_seed(seed)
    start = torch.randint(0, V, (n, 1), generator=g)
    step = torch.randint(1, 4, (n, 1), generator=g)
    ids = (start + step * torch.arange(T + 1)) % V
    return TensorDataset(ids[:, :-1], ids[:, 1:])


class LM(nn.Module):
    def __init__(self, d=48):
        super().__init__()
        self.emb, self.pos = nn.Embedding(V, d), nn.Embedding(T, d)
        self.q, self.k, self.v = (nn.Linear(d, d) for _ in range(3))
        self.ff = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.ReLU(), nn.Linear(2 * d, d)
        )
        self.head = nn.Linear(d, V)
        self.register_buffer("mask", torch.tril(torch.ones(T, T, dtype=torch.bool)))

    def forward(self, ids):
        t = ids.shape[1]
        x = self.emb(ids) + self.pos.weight[:t]
        w = self.q(x) @ self.k(x).transpose(1, 2) / x.shape[-1] ** 0.5
        w = w.masked_fill(~self.mask[:t, :t], float("-inf")).softmax(-2)
        x = x + w @ self.v(x)
        return self.head(x + self.ff(x))


@labbook.subject
def subject():
    return labbook.Subject(
        model=LM,
        loss=lambda o, y: F.cross_entropy(o.transpose(1, 2), y),
        loader=DataLoader(data(800, 0), 32, shuffle=True),
        val=DataLoader(data(160, 1), 32),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3),
        task="language",
    )
