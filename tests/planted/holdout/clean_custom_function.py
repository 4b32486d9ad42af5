"""A custom autograd.Function with the right derivative: softsign."""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class SoftsignFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x / (1 + x.abs())

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g / (1 + x.abs()) ** 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(30, 40), nn.Linear(40, 1)

    def forward(self, x):
        return self.b(SoftsignFn.apply(self.a(x)))


data = load_breast_cancer()
X = torch.tensor(data.data).float()
y = torch.tensor(data.target).float().unsqueeze(1)
mu, sd = X[:420].mean(0), X[:420].std(0)
X = (X - mu) / sd


@labbook.subject
def subject():
    return labbook.Subject(
        model=Net,
        loss=nn.BCEWithLogitsLoss(),
        loader=DataLoader(TensorDataset(X[:420], y[:420]), 42, shuffle=True),
        val=DataLoader(TensorDataset(X[420:], y[420:]), 149),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
