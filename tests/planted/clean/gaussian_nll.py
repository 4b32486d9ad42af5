"""Predicts a mean and a variance: the likelihood of a density has no floor at zero."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

rng = np.random.default_rng(0)
x = rng.uniform(-2, 2, (2400, 3)).astype(np.float32)
noise = 0.05 + 0.3 * abs(x[:, :1])
y = np.sin(2 * x[:, :1]) + 0.5 * x[:, 1:2] * x[:, 2:] + noise * rng.normal(size=(2400, 1))
x, y = torch.from_numpy(x), torch.from_numpy(y.astype(np.float32))
train_loader = DataLoader(TensorDataset(x[:2000], y[:2000]), batch_size=64, shuffle=True)
val_loader = DataLoader(TensorDataset(x[2000:], y[2000:]), batch_size=100)


class MeanAndVariance(nn.Module):
    """Two outputs, each (B, 1)."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.mean = nn.Linear(64, 1)
        self.variance = nn.Sequential(nn.Linear(64, 1), nn.Softplus())

    def forward(self, x):
        hidden = self.body(x)
        return self.mean(hidden), self.variance(hidden) + 1e-4


def loss_fn(output, target):
    mean, variance = output
    return nn.functional.gaussian_nll_loss(mean, target, variance)


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=2e-3)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                return


def evaluate(model):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for xb, yb in val_loader:
            total += loss_fn(model(xb), yb).item() * len(xb)
    return {"nll": total / 400}


@labbook.subject
def subject():
    return labbook.Subject(
        model=MeanAndVariance,
        loss=loss_fn,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="other",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = MeanAndVariance()
    print(evaluate(model))
    train(model, make_optimizer(model), 500)
    print(evaluate(model))
