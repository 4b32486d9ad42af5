"""Message passing on padded graphs with an edge mask, sum aggregation: how many triangles?"""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Triangles(Dataset):
    def __init__(self, n, seed, m=12):
        g = torch.Generator().manual_seed(seed)
        self.items = []
        for _ in range(n):
            k = int(torch.randint(6, m + 1, (1,), generator=g))
            a = torch.zeros(m, m)
            p = 0.2 + 0.4 * torch.rand((), generator=g)
            b = (torch.rand(k, k, generator=g) < p).float().triu(1)
            a[:k, :k] = b + b.T
            node = torch.zeros(m)
            node[:k] = 1
            tri = torch.trace(a @ a @ a) / 6
            self.items.append((a, node, torch.log1p(tri) - 1.5))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class GIN(nn.Module):
    def __init__(self, d=32, layers=3):
        super().__init__()
        self.inp = nn.Linear(2, d)
        self.mlps = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(d, d), nn.LayerNorm(d), nn.ReLU(), nn.Linear(d, d))
                for _ in range(layers)
            ]
        )
        self.eps = nn.Parameter(torch.zeros(layers))
        self.read = nn.Sequential(nn.Linear(2 * d, d), nn.ReLU(), nn.Linear(d, 1))

    def forward(self, adj, mask):
        keep = mask.unsqueeze(-1)
        deg = adj.sum(-1, keepdim=True) / 5
        h = self.inp(torch.cat([deg, (adj @ adj * adj).sum(-1, keepdim=True) / 5], -1)) * keep
        for e, mlp in zip(self.eps, self.mlps, strict=True):
            h = h + mlp((1 + e) * h + adj @ h / 4) * keep
        mean = h.sum(1) / keep.sum(1)
        top = h.masked_fill(keep == 0, -1e4).amax(1)
        return self.read(torch.cat([mean, top], -1)).squeeze(-1)


@labbook.subject
def subject():
    return labbook.Subject(
        model=GIN,
        loss=nn.HuberLoss(),
        loader=DataLoader(Triangles(800, 0), 32, shuffle=True),
        val=DataLoader(Triangles(200, 1), 50),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
