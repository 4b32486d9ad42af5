"""Pairwise ranking: the clicked document should score above the other."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def clicks(n, seed):
    w = torch.randn(12, generator=torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, n, 12, generator=g)
    better = (a @ w + 0.5 * torch.randn(n, generator=g)) > (b @ w)
    return TensorDataset(torch.where(better[:, None], a, b), torch.where(better[:, None], b, a))


class Ranker(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, pair):
        good, bad = pair
        return (self.score(good) - self.score(bad)).squeeze(1)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Ranker,
        loss=lambda margin, _: F.softplus(-margin).mean(),
        loader=DataLoader(clicks(1500, 1), 50, shuffle=True),
        val=DataLoader(clicks(300, 2), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
        split=lambda b: ((b[0], b[1]), torch.ones(len(b[0]))),
        forward=lambda m, inputs: m(inputs),
        task="other",
    )
