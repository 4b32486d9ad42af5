"""A frozen convolutional backbone in eval mode and a new head."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class Transfer(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        for p in self.backbone.parameters():
            p.requires_grad = False
        self.head = nn.Linear(64 * 16, 10)

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            f = self.backbone(x)
        return self.head(f)


@labbook.subject
def subject():
    d = load_digits()
    x, y = torch.tensor(d.images).float().unsqueeze(1) / 16, torch.tensor(d.target)
    x = (x - 0.305) / 0.376
    return labbook.Subject(
        model=Transfer,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(TensorDataset(x[:1400], y[:1400]), 64, shuffle=True),
        val=DataLoader(TensorDataset(x[1400:], y[1400:]), 64),
        optimizer=lambda m: torch.optim.Adam(m.head.parameters(), 1e-3),
        pretrained=True,
    )
