"""Digits embedded with a triplet loss."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Triplets(Dataset):
    def __init__(self, idx):
        d = load_digits()
        self.x = torch.tensor(d.images[idx], dtype=torch.float32).unsqueeze(1) / 16
        self.y = torch.tensor(d.target[idx])

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        same = torch.nonzero(self.y == self.y[i]).flatten()
        other = torch.nonzero(self.y != self.y[i]).flatten()
        p = same[torch.randint(len(same), ())]
        n = other[torch.randint(len(other), ())]
        return {"anchor": self.x[i], "positive": self.x[p], "negative": self.x[n]}


class Siamese(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(), nn.Flatten(), nn.Linear(512, dim),
        )  # fmt: skip

    def embed(self, x):
        return F.normalize(self.trunk(x), dim=1)

    def forward(self, anchor, positive, negative):
        a, p, n = self.embed(anchor), self.embed(positive), self.embed(negative)
        loss = F.relu((a - p).pow(2).sum(1) - (a - n).pow(2).sum(1) + 0.3).mean()
        return {"loss": loss, "embedding": a}


@labbook.subject
def subject():
    return labbook.Subject(
        model=Siamese,
        loader=DataLoader(Triplets(range(0, 1200)), 32, shuffle=True),
        val=DataLoader(Triplets(range(1200, 1600)), 50),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
    )
