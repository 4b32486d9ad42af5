"""A net with weight and spectral norms learns a smooth function; its own dropout is dropped paths."""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.data import DataLoader, TensorDataset

import labbook

generator = torch.Generator().manual_seed(0)
x = torch.rand(1500, 2, generator=generator) * 4 - 2
y = torch.sin(1.5 * x[:, 0]) * torch.cos(1.5 * x[:, 1])
train_loader = DataLoader(TensorDataset(x[:1200], y[:1200]), batch_size=40, shuffle=True)
val_loader = DataLoader(TensorDataset(x[1200:], y[1200:]), batch_size=100)


class Path(nn.Module):
    """A residual branch that training leaves out for one example in ten."""

    def __init__(self, width, keep=0.9):
        super().__init__()
        self.linear = spectral_norm(nn.Linear(width, width))
        self.keep = keep

    def forward(self, x):
        branch = torch.tanh(self.linear(x))
        if self.training:
            taken = torch.rand(len(x), 1) < self.keep
            branch = branch * taken / self.keep
        return x + branch


class Smooth(nn.Module):
    """Two residual branches between weight-normed layers."""

    def __init__(self, width=48):
        super().__init__()
        self.enter = weight_norm(nn.Linear(2, width))
        self.paths = nn.Sequential(Path(width), Path(width))
        self.leave = weight_norm(nn.Linear(width, 1))

    def forward(self, x):
        return self.leave(self.paths(torch.tanh(self.enter(x)))).squeeze(-1)


loss_fn = nn.SmoothL1Loss()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=5e-3)


def train(model, optimizer, n_steps):
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=3, factor=0.5)
    step = 0
    while step < n_steps:
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                break
        scheduler.step(evaluate(model)["mse"])


def evaluate(model):
    model.eval()
    squares = 0.0
    with torch.no_grad():
        for xb, yb in val_loader:
            squares += ((model(xb) - yb) ** 2).sum().item()
    return {"mse": squares / 300}


@labbook.subject
def subject():
    return labbook.Subject(
        model=Smooth,
        loss=loss_fn,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="regression",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Smooth()
    print(evaluate(model))
    train(model, make_optimizer(model), 300)
    print(evaluate(model))
