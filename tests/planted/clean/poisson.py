"""Counts of calls in an hour, with a Poisson likelihood that may be negative."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

rng = np.random.default_rng(4)
hour = rng.integers(0, 24, 2500)
weekend = rng.integers(0, 2, 2500)
weather = rng.normal(size=2500)
rate = np.exp(1.2 + np.sin(2 * np.pi * hour / 24) - 0.6 * weekend + 0.3 * weather)
calls = rng.poisson(rate).astype(np.float32)
columns = [np.sin(2 * np.pi * hour / 24), np.cos(2 * np.pi * hour / 24), weekend, weather]
inputs = torch.tensor(np.stack(columns, 1), dtype=torch.float32)
counts = torch.tensor(calls)

train_loader = DataLoader(TensorDataset(inputs[:2000], counts[:2000]), batch_size=50, shuffle=True)
val_loader = DataLoader(TensorDataset(inputs[2000:], counts[2000:]), batch_size=125)


class LogRate(nn.Module):
    """The logarithm of the rate, (B,)."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x):
        return self.net(x)[:, 0]


criterion = nn.PoissonNLLLoss(log_input=True)


def make_optimizer(model):
    return torch.optim.AdamW(model.parameters(), lr=5e-3)


def train(model, optimizer, n_steps):
    for step, (x, y) in enumerate(forever(train_loader)):
        if step == n_steps:
            break
        model.train()
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def forever(loader):
    while True:
        yield from loader


@torch.no_grad()
def evaluate(model):
    model.eval()
    total, error = 0.0, 0.0
    for x, y in val_loader:
        log_rate = model(x)
        total += criterion(log_rate, y).item() * len(y)
        error += (log_rate.exp() - y).abs().sum().item()
    return {"nll": total / 500, "mae": error / 500}


@labbook.subject
def subject():
    return labbook.Subject(
        model=LogRate,
        loss=criterion,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = LogRate()
    print(evaluate(model))
    train(model, make_optimizer(model), 400)
    print(evaluate(model))
