"""Distillation of a teacher into a student."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

d = load_digits()
x, y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)
torch.manual_seed(0)
teacher = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
opt = torch.optim.Adam(teacher.parameters(), 1e-2)
for _ in range(80):
    opt.zero_grad()
    F.cross_entropy(teacher(x[:1300]), y[:1300]).backward()
    opt.step()


def student():
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def kd_loss(logits, target, t=2.0):
    labels, soft = target
    kd = (
        F.kl_div(F.log_softmax(logits / t, 1), F.softmax(soft / t, 1), reduction="batchmean") * t**2
    )
    return 0.5 * kd + 0.5 * F.cross_entropy(logits, labels)


@labbook.subject
def subject():
    return labbook.Subject(
        model=student,
        loss=kd_loss,
        loader=DataLoader(TensorDataset(x[:1300], y[:1300]), 50, shuffle=True),
        val=DataLoader(TensorDataset(x[1300:], y[1300:]), 50),
        optimizer=lambda m: torch.optim.Adam(teacher.parameters(), 1e-3),
        split=lambda b: (b[0], (b[1], teacher(b[0]).detach())),
    )
