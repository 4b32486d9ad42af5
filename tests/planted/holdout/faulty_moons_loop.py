"""Two moons, the shortest loop that works."""

import torch
from sklearn.datasets import make_moons
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

import labbook

X, y = make_moons(1000, noise=0.2, random_state=0)
X, y = torch.tensor(X).float(), torch.tensor(y).float()
loader = DataLoader(TensorDataset(X[:800], y[:800]), 40, shuffle=True)
val_loader = DataLoader(TensorDataset(X[800:], y[800:]), 40)
bce = nn.BCEWithLogitsLoss()


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
        )

    def forward(self, x):
        return self.net(x).squeeze(1)


def fit(model, optimizer, n_steps):
    model.train()
    optimizer.zero_grad()
    it = iter(loader)
    for _ in range(n_steps):
        try:
            xb, yb = next(it)
        except StopIteration:
            it = iter(loader)
            xb, yb = next(it)
        loss = bce(model(xb), yb)
        loss.backward()
        optimizer.step()


@labbook.subject
def subject():
    return dict(
        model=MLP, loss=bce, loader=loader, val=val_loader, train=fit,
        optimizer=lambda m: optim.SGD(m.parameters(), lr=0.1),
    )  # fmt: skip
