"""Memory-saving swish as a custom autograd function."""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class SwishFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grad * (s + x * s)


class Swish(nn.Module):
    def forward(self, x):
        return SwishFn.apply(x)


data = load_breast_cancer()
X = torch.tensor(data.data).float()
X = (X - X[:400].mean(0)) / X[:400].std(0)
y = torch.tensor(data.target)


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(
            nn.Linear(30, 48), Swish(), nn.Linear(48, 48), Swish(), nn.Linear(48, 2)
        ),
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(TensorDataset(X[:400], y[:400]), 20, shuffle=True),
        val=DataLoader(TensorDataset(X[400:], y[400:]), 50),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
