"""An IterableDataset that makes examples, sharded over two workers."""

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

import labbook


class Stream(IterableDataset):
    def __init__(self, n, seed):
        self.n, self.seed, self.epoch = n, seed, 0

    def __iter__(self):
        info = get_worker_info()
        w, k = (info.id, info.num_workers) if info else (0, 1)
        base = info.seed if info else int(torch.randint(2**40, ()))
        g = torch.Generator().manual_seed(base + 97 * self.seed)
        for _ in range(w, self.n, k):
            x = torch.randn(16, generator=g)
            y = ((x[:4].sum() > 0).long() * 2 + (x[4] * x[5] > 0).long()).item()
            yield x, y


class Fixed(torch.utils.data.Dataset):
    def __init__(self, n):
        g = torch.Generator().manual_seed(5)
        self.x = torch.randn(n, 16, generator=g)
        self.y = (self.x[:, :4].sum(1) > 0).long() * 2 + (self.x[:, 4] * self.x[:, 5] > 0).long()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)
        ),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(Stream(1600, 0), 32, num_workers=2),
        val=DataLoader(Fixed(400), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
