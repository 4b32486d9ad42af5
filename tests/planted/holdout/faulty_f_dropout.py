"""A CNN in functional style."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

digits = load_digits()
images = torch.tensor(digits.images).float().unsqueeze(1).div(16)
labels = torch.tensor(digits.target)
train_dl = DataLoader(TensorDataset(images[:1400], labels[:1400]), 64, shuffle=True)
test_dl = DataLoader(TensorDataset(images[1400:], labels[1400:]), 64)


class LeNetish(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 16, 3), nn.Conv2d(16, 32, 3)
        self.f1, self.f2 = nn.Linear(512, 64), nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.c2(F.relu(self.c1(x)))).flatten(1)
        x = F.dropout(F.relu(self.f1(x)), 0.5)
        return self.f2(x)


@torch.no_grad()
def evaluate(model):
    model.eval()
    ok = sum((model(x).argmax(1) == y).sum().item() for x, y in test_dl)
    model.train()
    return {"accuracy": ok / len(test_dl.dataset)}


@labbook.subject
def subject():
    return labbook.Subject(
        model=LeNetish,
        loss=F.cross_entropy,
        loader=train_dl,
        val=test_dl,
        evaluate=evaluate,
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
