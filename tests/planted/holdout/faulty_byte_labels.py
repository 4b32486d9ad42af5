"""Three hundred words, their ids kept small on disk."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

N_WORDS = 300
CODE = np.random.RandomState(0).randn(N_WORDS, 24).astype(np.float32)


class Words(Dataset):
    def __init__(self, n, seed):
        r = np.random.RandomState(seed)
        ids = r.randint(0, N_WORDS, n)
        self.x = CODE[ids] + 0.2 * r.randn(n, 24).astype(np.float32)
        self.y = ids.astype(np.uint8)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return torch.from_numpy(self.x[i]), int(self.y[i])


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(24, 128), nn.ReLU(), nn.Linear(128, N_WORDS)),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(Words(6000, 0), 64, shuffle=True),
        val=DataLoader(Words(600, 1), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
