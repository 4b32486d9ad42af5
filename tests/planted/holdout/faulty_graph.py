"""Small graphs as dense adjacency matrices with a node mask: is the graph bipartite-ish or clustered?"""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Graphs(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.items = []
        for i in range(n):
            y = i % 2
            k = int(torch.randint(8, 15, (1,), generator=g))
            side = torch.arange(k) % 2
            same = side[:, None] == side[None]
            p = torch.where(same, 0.8 if y else 0.1, 0.1 if y else 0.8)
            a = (torch.rand(k, k, generator=g) < p).float().triu(1)
            a = a + a.T
            f = torch.randn(k, 4, generator=g) * 0.5
            f[:, 0] += side * 2 - 1
            self.items.append((f, a, y))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(items, m=14):
    n = len(items)
    x, a, mask = torch.zeros(n, m, 4), torch.zeros(n, m, m), torch.zeros(n, m)
    for i, (f, adj, _) in enumerate(items):
        k = len(f)
        x[i, :k], a[i, :k, :k], mask[i, :k] = f, adj, 1
    return x, a, mask, torch.tensor([y for *_, y in items])


class GCN(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.l1, self.l2 = nn.Linear(8, d), nn.Linear(2 * d, d)
        self.out = nn.Linear(d, 2)

    def forward(self, x, a, mask):
        deg = a.sum(-1, keepdim=True).clamp(min=1)
        h = torch.relu(self.l1(torch.cat([x, a @ x / deg], -1)))
        h = torch.relu(self.l2(torch.cat([h, a @ h / deg], -1)))
        h = (h * mask[..., None]).sum(1) / mask.sum()
        return self.out(h)


@labbook.subject
def subject():
    return labbook.Subject(
        model=GCN,
        loss=nn.functional.cross_entropy,
        loader=DataLoader(Graphs(400, 0), 20, shuffle=True, collate_fn=collate),
        val=DataLoader(Graphs(100, 1), 20, collate_fn=collate),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 3e-3),
    )
