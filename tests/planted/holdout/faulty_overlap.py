"""Windows of one series: training and validation windows are drawn from the same list."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

import labbook


class Digits(Dataset):
    def __init__(self):
        from sklearn.datasets import load_digits

        d = load_digits()
        self.x, self.y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def split(dataset, share=0.8):
    n = int(len(dataset) * share)
    train_idx = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:n]
    val_idx = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(1))[n:]
    return Subset(dataset, train_idx.tolist()), Subset(dataset, val_idx.tolist())


@labbook.subject
def subject():
    a, b = split(Digits())
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(64, 100), nn.ReLU(), nn.Dropout(0.2), nn.Linear(100, 10)
        ),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(a, 32, shuffle=True),
        val=DataLoader(b, 32),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
