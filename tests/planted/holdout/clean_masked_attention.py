"""Attention pooling over sets with a mask; empty rows are made safe."""

import torch
from torch import nn
from torch.utils.data import DataLoader

import labbook


def bags(n, seed):
    g = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        k = int(torch.randint(2, 11, (1,), generator=g))
        x = torch.randn(k, 6, generator=g)
        y = int(torch.rand((), generator=g) < 0.5)
        if y:
            x[int(torch.randint(k, (1,), generator=g)), :2] += 3.0
        out.append((x, y))
    return out


def collate(items):
    x = torch.zeros(len(items), 10, 6)
    mask = torch.zeros(len(items), 10, dtype=torch.bool)
    for i, (b, _) in enumerate(items):
        x[i, : len(b)], mask[i, : len(b)] = b, True
    return {"x": x, "mask": mask}, torch.tensor([float(y) for _, y in items])


class MIL(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(6, d), nn.ReLU())
        self.v, self.u, self.w = nn.Linear(d, 16), nn.Linear(d, 16), nn.Linear(16, 1)
        self.out = nn.Linear(d, 1)

    def forward(self, x, mask):
        h = self.embed(x)
        a = self.w(torch.tanh(self.v(h)) * torch.sigmoid(self.u(h))).squeeze(-1)
        a = a.masked_fill(~mask, float("-inf")).softmax(-1)
        a = torch.where(mask.any(-1, keepdim=True), a, torch.zeros_like(a))
        return self.out((a.unsqueeze(-1) * h).sum(1)).squeeze(-1)


@labbook.subject
def subject():
    return labbook.Subject(
        model=MIL,
        loss=nn.BCEWithLogitsLoss(),
        loader=DataLoader(bags(900, 0), 30, shuffle=True, collate_fn=collate),
        val=DataLoader(bags(200, 1), 40, collate_fn=collate),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
        split=lambda b: b,
        forward=lambda m, inputs: m(**inputs),
    )
