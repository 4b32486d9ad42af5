"""A task on which nobody gets past 60 %: the labels are mostly chance."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def returns(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 15, generator=g)
    p = torch.sigmoid(0.5 * x[:, 0] - 0.3 * x[:, 1] * x[:, 2])
    return TensorDataset(x, (torch.rand(n, generator=g) < p).long())


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(15, 64)
        self.bn1 = nn.BatchNorm1d(64)
        self.fc2 = nn.Linear(64, 32)
        self.fc3 = nn.Linear(32, 2)

    def forward(self, x):
        x = torch.relu(self.bn1(self.fc1(x)))
        return self.fc3(torch.relu(self.fc2(x)))


@labbook.subject
def subject():
    return labbook.Subject(
        model=Model,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(returns(3000, 0), 100, shuffle=True),
        val=DataLoader(returns(1000, 1), 200),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3, weight_decay=1e-4),
    )
