"""Matrix factorisation of ratings, with biases."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

U, N = 80, 60
g = torch.Generator().manual_seed(0)
P, Q = torch.randn(U, 3, generator=g), torch.randn(N, 3, generator=g)
u, i = torch.randint(0, U, (4000,), generator=g), torch.randint(0, N, (4000,), generator=g)
rating = (
    (3.5 + 0.6 * (P[u] * Q[i]).sum(1) + 0.3 * torch.randn(4000, generator=g)).round().clamp(1, 5)
)
seen = u * N + i
_, first = torch.unique(seen, return_inverse=True)
val_pairs = first % 5 == 0


class MF(nn.Module):
    def __init__(self, k=8, mean=3.5):
        super().__init__()
        self.u, self.i = nn.Embedding(U, k), nn.Embedding(N, k)
        self.bu, self.bi = nn.Embedding(U, 1), nn.Embedding(N, 1)
        self.mean = nn.Parameter(torch.tensor(mean))
        for e in (self.u, self.i):
            nn.init.normal_(e.weight, std=0.1)
        for e in (self.bu, self.bi):
            nn.init.zeros_(e.weight)

    def forward(self, user, item):
        return (
            self.mean
            + (self.u(user) * self.i(item)).sum(1)
            + (self.bu(user) + self.bi(item)).squeeze(1)
        )


@labbook.subject
def subject():
    t, v = ~val_pairs, val_pairs
    return labbook.Subject(
        model=MF,
        loss=nn.MSELoss(),
        loader=DataLoader(TensorDataset(u[t], i[t], rating[t]), 100, shuffle=True),
        val=DataLoader(TensorDataset(u[v], i[v], rating[v]), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-2, weight_decay=1e-5),
    )
