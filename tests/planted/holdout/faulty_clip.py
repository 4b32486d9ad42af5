"""Adding problem with a GRU; gradients are clipped."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def adding(n, seed, t=20):
    g = torch.Generator().manual_seed(seed)
    v = torch.rand(n, t, generator=g) * 2 - 1
    m = torch.zeros(n, t)
    for i in range(n):
        m[i, torch.randperm(t, generator=g)[:2]] = 1
    return TensorDataset(torch.stack([v, m], -1), (v * m).sum(1, keepdim=True))


class Adder(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 32, batch_first=True)
        self.fc = nn.Linear(32, 1)

    def forward(self, x):
        return self.fc(self.gru(x)[0][:, -1])


mse = nn.MSELoss()
loader = DataLoader(adding(1000, 0), 50, shuffle=True)


def train(model, optimizer, n_steps):
    step = 0
    while True:
        for x, y in loader:
            loss = mse(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            step += 1
            if step >= n_steps:
                return


@labbook.subject
def subject():
    return labbook.Subject(
        model=Adder, loss=mse, loader=loader, val=DataLoader(adding(200, 1), 100), train=train,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.1, momentum=0.9),
    )  # fmt: skip
