"""The four points of XOR, all of them in one batch."""

import torch
from torch import nn

import labbook

x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = torch.tensor([0, 1, 1, 0])
loader = [(x, y)]


def make_model():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))


def make_optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)


loss_fn = nn.CrossEntropyLoss()


def train(model, optimizer, n_steps):
    model.train()
    for _ in range(n_steps):
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()


def evaluate(model):
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


@labbook.subject
def subject():
    return labbook.Subject(
        model=make_model,
        loss=loss_fn,
        loader=loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = make_model()
    print(evaluate(model))
    train(model, make_optimizer(model), 100)
    print(evaluate(model))
