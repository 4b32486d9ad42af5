"""SGD with momentum at a high peak rate on a batch-normalised CNN, one cycle."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_digits()
x, y = torch.tensor(d.images).float().unsqueeze(1), torch.tensor(d.target)
x = (x - x.mean()) / x.std()
loader = DataLoader(TensorDataset(x[:1400], y[:1400]), 50, shuffle=True)
val_loader = DataLoader(TensorDataset(x[1400:], y[1400:]), 100)


def block(i, o):
    return nn.Sequential(
        nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)
    )


def build():
    return nn.Sequential(
        block(1, 16),
        block(16, 32),
        nn.MaxPool2d(2),
        block(32, 32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def train(model, optimizer, n_steps):
    sched = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total_steps=n_steps + 1, pct_start=0.3
    )
    model.train()
    it = iter(loader)
    for _ in range(n_steps):
        try:
            xb, yb = next(it)
        except StopIteration:
            it = iter(loader)
            xb, yb = next(it)
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(xb), yb).backward()
        optimizer.step()
        sched.step()


def evaluate(model):
    model.eval()
    loss = hits = 0
    with torch.no_grad():
        for xb, yb in val_loader:
            o = model(xb)
            loss += F.cross_entropy(o, yb, reduction="sum").item()
            hits += (o.argmax(1) == yb).sum().item()
    model.train()
    n = len(val_loader.dataset)
    return {"loss": loss / n, "top1": 100.0 * hits / n}


@labbook.subject
def subject():
    return labbook.Subject(
        model=build, loss=F.cross_entropy, loader=loader, val=val_loader, train=train, evaluate=evaluate,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.5, momentum=0.9, weight_decay=5e-4, nesterov=True),
    )  # fmt: skip
