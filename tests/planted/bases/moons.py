# Two moons, as in a notebook.
import torch
from sklearn.datasets import make_moons
from torch import nn

import labbook

X, y = make_moons(n_samples=1000, noise=0.15, random_state=0)
X = torch.tensor(X, dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32).unsqueeze(1)  # (1000, 1)
X_train, y_train, X_test, y_test = X[:800], y[:800], X[800:], y[800:]


class Batches:
    """Batches in a new order on every pass."""

    def __init__(self, inputs, targets, batch_size, shuffle):
        self.inputs, self.targets = inputs, targets
        self.batch_size, self.shuffle = batch_size, shuffle

    def __len__(self):
        return -(-len(self.inputs) // self.batch_size)

    def __iter__(self):
        n = len(self.inputs)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for start in range(0, n, self.batch_size):
            index = order[start : start + self.batch_size]
            yield self.inputs[index], self.targets[index]


train_batches = Batches(X_train, y_train, batch_size=40, shuffle=True)
test_batches = Batches(X_test, y_test, batch_size=200, shuffle=False)


def make_model():
    layers = [nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh()]
    layers += [nn.Linear(32, 1), nn.Sigmoid()]
    return nn.Sequential(*layers)


loss_fn = nn.BCELoss()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=0.01)


def train(model, optimizer, n_steps):
    model.train()
    i = 0
    while i < n_steps:
        for xb, yb in train_batches:
            p = model(xb)
            loss = loss_fn(p, yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            i += 1
            if i >= n_steps:
                break


def evaluate(model):
    model.eval()
    with torch.no_grad():
        p = model(X_test)
    return {"accuracy": ((p > 0.5) == (y_test > 0.5)).float().mean().item()}


@labbook.subject
def subject():
    return labbook.Subject(
        model=make_model,
        loss=loss_fn,
        loader=train_batches,
        val=test_batches,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="binary",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = make_model()
    print(evaluate(model))
    train(model, make_optimizer(model), 300)
    print(evaluate(model))
