"""Disease progression, Huber loss, z-scored target."""

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import labbook


def get_data():
    d = load_diabetes()
    x = torch.tensor(d.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    y = torch.tensor(d.target, dtype=torch.float32)
    y = (y - y.mean()) / y.std()
    ds = TensorDataset(x, y)
    return random_split(ds, [342, 100], generator=torch.Generator().manual_seed(0))


def build():
    return nn.Sequential(
        nn.Linear(10, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
    )


criterion = nn.HuberLoss(delta=1.0)


def train(model, opt, n_steps):
    train_set, _ = get_data()
    dl = DataLoader(train_set, 32, shuffle=True)
    step = 0
    while step < n_steps:
        for x, y in dl:
            opt.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            opt.step()
            step += 1
            if step >= n_steps:
                return


@labbook.subject
def subject():
    a, b = get_data()
    return labbook.Subject(
        model=build,
        loss=criterion,
        loader=DataLoader(a, 32, shuffle=True),
        val=DataLoader(b, 100),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 3e-4),
        train=train,
    )
