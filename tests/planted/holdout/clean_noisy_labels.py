"""One label in five is wrong, on purpose; the study is about that."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class NoisyDigits(Dataset):
    def __init__(self, train, rate=0.2):
        d = load_digits()
        g = torch.Generator().manual_seed(11)
        perm = torch.randperm(len(d.target), generator=g)
        keep = perm[:1300] if train else perm[1300:]
        self.x = torch.tensor(d.images[keep]).float().unsqueeze(1) / 16
        self.y = torch.tensor(d.target[keep])
        if train:
            flip = torch.rand(len(keep), generator=g) < rate
            self.y[flip] = torch.randint(0, 10, (int(flip.sum()),), generator=g)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def net():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(128, 10),
    )  # fmt: skip


@labbook.subject
def subject():
    return labbook.Subject(
        model=net,
        loss=nn.CrossEntropyLoss(label_smoothing=0.1),
        loader=DataLoader(NoisyDigits(True), 32, shuffle=True),
        val=DataLoader(NoisyDigits(False), 71),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3),
    )
