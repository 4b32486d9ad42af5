"""A small ResNet with zero-initialised last norms; random shifts in training alone; warm-up, cosine."""

import math

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Digits(Dataset):
    def __init__(self, train):
        d = load_digits()
        p = torch.randperm(1797, generator=torch.Generator().manual_seed(4))
        k = p[:1400] if train else p[1400:]
        x = torch.tensor(d.images).float().unsqueeze(1)
        self.x, self.y, self.train = ((x - 4.88) / 6.02)[k], torch.tensor(d.target)[k], train

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        x = self.x[i]
        if self.train:
            a, b = torch.randint(0, 3, (2,)).tolist()
            x = F.pad(x, (1, 1, 1, 1), value=-0.81)[:, a : a + 8, b : b + 8]
        return x, self.y[i]


class Basic(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o)
        self.c2, self.b2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.skip = (
            nn.Identity()
            if i == o and s == 1
            else nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o))
        )
        nn.init.zeros_(self.b2.weight)

    def forward(self, x):
        y = self.b2(self.c2(F.relu(self.b1(self.c1(x)))))
        return F.relu(y + self.skip(x))


def resnet():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), Basic(16, 16, 1), Basic(16, 32, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


train_dl = DataLoader(Digits(True), 50, shuffle=True, num_workers=0)
val_dl = DataLoader(Digits(False), 100)


def train(model, optimizer, n_steps):
    warm = max(1, n_steps // 20)
    sched = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: min(1, (s + 1) / warm) * 0.5 * (1 + math.cos(math.pi * s / max(n_steps, 1))),
    )
    step = 0
    while True:
        model.train()
        for x, y in train_dl:
            if step >= n_steps:
                return
            loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sched.step()
            step += 1


@torch.no_grad()
def evaluate(model):
    training = model.training
    model.eval()
    out = torch.cat([model(x) for x, _ in val_dl])
    y = torch.cat([y for _, y in val_dl])
    model.train(training)
    return {"error": (out.argmax(1) != y).float().mean().item()}


@labbook.subject
def subject():
    return labbook.Subject(
        model=resnet, loss=nn.CrossEntropyLoss(label_smoothing=0.1), loader=train_dl, val=val_dl,
        train=train, evaluate=evaluate,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.2, momentum=0.9, weight_decay=5e-4),
    )  # fmt: skip
