"""A small student learns from a larger teacher, softened by temperature 3."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_digits()
x, y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)


def mlp(w):
    return nn.Sequential(nn.Linear(64, w), nn.ReLU(), nn.Linear(w, 10))


torch.manual_seed(0)
teacher = mlp(256)
opt = torch.optim.Adam(teacher.parameters(), 1e-2)
for _ in range(80):
    opt.zero_grad()
    F.cross_entropy(teacher(x[:1300]), y[:1300]).backward()
    opt.step()
teacher.eval().requires_grad_(False)


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(24)

    def forward(self, x):
        return self.net(x)


def kd(logits, target, t=3.0, alpha=0.7):
    labels, soft = target
    k = (
        F.kl_div(F.log_softmax(logits / t, 1), F.softmax(soft / t, 1), reduction="batchmean")
        * t
        * t
    )
    return alpha * k + (1 - alpha) * F.cross_entropy(logits, labels)


def with_teacher(batch):
    xb, yb = batch
    with torch.no_grad():
        return xb, (yb, teacher(xb))


@labbook.subject
def subject():
    return labbook.Subject(
        model=Student,
        loss=kd,
        loader=DataLoader(TensorDataset(x[:1300], y[:1300]), 50, shuffle=True),
        val=DataLoader(TensorDataset(x[1300:], y[1300:]), 50),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
        split=with_teacher,
    )
