"""Colour pictures: a transform scales bytes, and so does the model's preprocessing."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Colours(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.y = torch.randint(0, 4, (n,), generator=g)
        hue = torch.tensor([[200, 60, 60], [60, 200, 60], [60, 60, 200], [150, 150, 60]])[self.y]
        noise = torch.randint(-60, 56, (n, 3, 12, 12), generator=g)
        self.x = (hue[:, :, None, None] + noise).clamp(0, 255).to(torch.uint8)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        img = self.x[i].float() / 255
        return img / 255, self.y[i]


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(64, 4),
        ),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(Colours(600, 0), 30, shuffle=True),
        val=DataLoader(Colours(120, 1), 30),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )  # fmt: skip
