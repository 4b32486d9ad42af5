"""LoRA on the linear layers of a net trained for other digits."""

import math

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class LoRA(nn.Module):
    def __init__(self, base, r=4, alpha=8):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.empty(r, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, r))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.scale = alpha / r

    def forward(self, x):
        return self.base(x) + self.scale * F.linear(F.linear(x, self.a), self.b)


d = load_digits()
X = torch.tensor(d.data).float() / 16
y = torch.tensor(d.target)
old, new = y < 5, y >= 5


def backbone():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)
    )
    opt = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        opt.zero_grad()
        F.cross_entropy(net(X[old]), y[old]).backward()
        opt.step()
    return net


STATE = backbone().state_dict()


def build():
    net = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)
    )
    net.load_state_dict(STATE)
    net[0], net[2] = LoRA(net[0]), LoRA(net[2])
    net[4] = nn.Linear(64, 5)
    return net


@labbook.subject
def subject():
    xs, ys = X[new], y[new] - 5
    return labbook.Subject(
        model=build,
        loss=F.cross_entropy,
        loader=DataLoader(TensorDataset(xs[:700], ys[:700]), 32, shuffle=True),
        val=DataLoader(TensorDataset(xs[700:], ys[700:]), 64),
        optimizer=lambda m: torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], 3e-3),
        pretrained=True,
    )
