"""Forecasts the next value of a series; windows come in order of time, on purpose."""

import math

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

WINDOW = 24

time = torch.arange(1600.0)
generator = torch.Generator().manual_seed(0)
series = torch.sin(2 * math.pi * time / 24) + 0.5 * torch.sin(2 * math.pi * time / 168)
series = series + 0.1 * torch.randn(len(time), generator=generator)


class Windows(Dataset):
    """(WINDOW, 1) values and the next one."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values) - WINDOW

    def __getitem__(self, i):
        return self.values[i : i + WINDOW, None], self.values[i + WINDOW, None]


train_loader = DataLoader(Windows(series[:1200]), batch_size=48, shuffle=False)
val_loader = DataLoader(Windows(series[1200:]), batch_size=100)


class Forecaster(nn.Module):
    """An LSTM and a linear layer."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 32, batch_first=True)
        self.linear = nn.Linear(32, 1)

    def forward(self, x):
        states, _ = self.lstm(x)
        return self.linear(states[:, -1])


criterion = nn.MSELoss()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=5e-3)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    model.eval()
    squares, n = 0.0, 0
    with torch.no_grad():
        for x, y in val_loader:
            squares += ((model(x) - y) ** 2).sum().item()
            n += len(y)
    return {"mse": squares / n}


@labbook.subject
def subject():
    why = "the series is read in order of time"
    return labbook.Subject(
        model=Forecaster,
        loss=criterion,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="regression",
        allow={"data/unshuffled": why, "data/same-order": why},
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Forecaster()
    print(evaluate(model))
    train(model, make_optimizer(model), 250)
    print(evaluate(model))
