"""A normalising flow of two moons: lone tensors, and a likelihood that may have any sign."""

import math

import torch
from sklearn.datasets import make_moons
from torch import nn
from torch.utils.data import DataLoader

import labbook

points = torch.tensor(make_moons(2500, noise=0.06, random_state=0)[0], dtype=torch.float32)
points = (points - points[:2000].mean(0)) / points[:2000].std(0)
train_loader = DataLoader(points[:2000], batch_size=100, shuffle=True)
val_loader = DataLoader(points[2000:], batch_size=500)


class Coupling(nn.Module):
    """Dinh et al. 2017: one coordinate scales and moves the other."""

    def __init__(self, flip):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.out = nn.Linear(32, 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x):
        kept, moved = x.chunk(2, dim=1)
        if self.flip:
            kept, moved = moved, kept
        scale, shift = self.out(self.net(kept)).chunk(2, dim=1)
        scale = torch.tanh(scale)
        moved = moved * torch.exp(scale) + shift
        pair = (moved, kept) if self.flip else (kept, moved)
        return torch.cat(pair, dim=1), scale[:, 0]


class Flow(nn.Module):
    """Returns the latent points and the logarithm of the Jacobian's determinant."""

    def __init__(self, n_layers=6):
        super().__init__()
        self.layers = nn.ModuleList([Coupling(flip=i % 2 == 1) for i in range(n_layers)])

    def forward(self, x):
        log_determinant = torch.zeros(len(x))
        for layer in self.layers:
            x, change = layer(x)
            log_determinant = log_determinant + change
        return x, log_determinant


def negative_log_likelihood(output, _target):
    z, log_determinant = output
    log_normal = -0.5 * (z**2).sum(dim=1) - math.log(2 * math.pi)
    return -(log_normal + log_determinant).mean()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=3e-3)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for x in train_loader:
            optimizer.zero_grad()
            negative_log_likelihood(model(x), x).backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    model.eval()
    with torch.no_grad():
        x = points[2000:]
        return {"nll": negative_log_likelihood(model(x), x).item()}


@labbook.subject
def subject():
    return labbook.Subject(
        model=Flow,
        loss=negative_log_likelihood,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="other",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Flow()
    print(evaluate(model))
    train(model, make_optimizer(model), 300)
    print(evaluate(model))
