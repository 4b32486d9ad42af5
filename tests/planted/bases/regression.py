"""Learns how far a ball flies, with drag, from how it was thrown."""

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def fly(speed, angle, drag, height):
    """Distance in metres until the ball meets the ground (explicit Euler, 10 ms)."""
    x = np.zeros_like(speed)
    y = height.copy()
    vx, vy = speed * np.cos(angle), speed * np.sin(angle)
    for _ in range(800):
        in_air = y > 0
        v = np.hypot(vx, vy)
        vx = vx - in_air * 0.01 * drag * v * vx
        vy = vy - in_air * 0.01 * (drag * v * vy + 9.81)
        x = x + in_air * 0.01 * vx
        y = y + in_air * 0.01 * vy
    return x


generator = np.random.default_rng(0)
n = 2000
throws = np.stack(
    [
        generator.uniform(5, 30, n),  # speed, m/s
        generator.uniform(0.1, 1.4, n),  # angle, rad
        generator.uniform(0.001, 0.05, n),  # drag, 1/m
        generator.uniform(0.5, 10, n),  # height, m
    ],
    axis=1,
)
distance = fly(*throws.T)[:, None]

n_train = 1600
inputs = torch.from_numpy(throws).float()
targets = torch.from_numpy(distance).float()
input_mean, input_std = inputs[:n_train].mean(0), inputs[:n_train].std(0)
target_mean, target_std = targets[:n_train].mean(), targets[:n_train].std()
inputs = (inputs - input_mean) / input_std
targets = (targets - target_mean) / target_std

train_data = TensorDataset(inputs[:n_train], targets[:n_train])
val_data = TensorDataset(inputs[n_train:], targets[n_train:])
train_loader = DataLoader(train_data, batch_size=32, shuffle=True)
val_loader = DataLoader(val_data, batch_size=200)


class Net(nn.Module):
    """Two hidden layers."""

    def __init__(self):
        super().__init__()
        self.hidden1 = nn.Linear(4, 48)
        self.hidden2 = nn.Linear(48, 48)
        self.output = nn.Linear(48, 1)

    def forward(self, x):
        x = torch.relu(self.hidden1(x))
        x = torch.relu(self.hidden2(x))
        return self.output(x)


mse = nn.MSELoss()


def make_optimizer(net):
    return torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)


def train(net, optimizer, n_steps):
    net.train()
    step = 0
    while step < n_steps:
        for x, y in train_loader:
            prediction = net(x)
            loss = mse(prediction, y)
            net.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step >= n_steps:
                return


def evaluate(net):
    """Root mean squared error in metres, and the share of variance explained."""
    net.eval()
    squares, n_seen = 0.0, 0
    with torch.no_grad():
        for x, y in val_loader:
            squares += ((net(x) - y) ** 2).sum().item()
            n_seen += len(y)
    mean_square = squares / n_seen
    variance = targets[n_train:].var().item()
    return {
        "rmse": mean_square**0.5 * target_std.item(),
        "r2": 1 - mean_square / variance,
    }


@labbook.subject
def subject():
    return labbook.Subject(
        model=Net,
        loss=mse,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="regression",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    net = Net()
    print("before", evaluate(net))
    train(net, make_optimizer(net), 400)
    print("after", evaluate(net))
