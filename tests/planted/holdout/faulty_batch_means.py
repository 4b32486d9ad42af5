"""Mean of the batches' errors; the last batch holds two examples."""

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_diabetes()
x = torch.tensor(d.data / d.data.std(0)).float()
y = torch.tensor((d.target - d.target.mean()) / d.target.std()).float().unsqueeze(1)
dl = DataLoader(TensorDataset(x[:340], y[:340]), 34, shuffle=True)
vl = DataLoader(TensorDataset(x[340:], y[340:]), 25)
mse = nn.MSELoss()


def evaluate(model):
    model.eval()
    losses = []
    with torch.no_grad():
        for a, b in vl:
            losses.append(mse(model(a), b).item())
    model.train()
    return {"mse": sum(losses) / len(losses)}


def train(model, optimizer, n_steps):
    k = 0
    while k < n_steps:
        for a, b in dl:
            optimizer.zero_grad()
            mse(model(a), b).backward()
            optimizer.step()
            k += 1
            if k == n_steps:
                break


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1)),
        loss=mse, loader=dl, val=vl, train=train, evaluate=evaluate,
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )  # fmt: skip
