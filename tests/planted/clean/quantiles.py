"""Predicts three quantiles of progression from the diabetes data, a small set."""

import torch
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

QUANTILES = torch.tensor([0.1, 0.5, 0.9])

diabetes = load_diabetes()
order = torch.randperm(442, generator=torch.Generator().manual_seed(0)).numpy()
train_rows, val_rows = order[:340], order[340:]
scale_x = StandardScaler().fit(diabetes.data[train_rows])
scale_y = StandardScaler().fit(diabetes.target[train_rows, None])


def rows(index):
    x = torch.tensor(scale_x.transform(diabetes.data[index]), dtype=torch.float32)
    y = torch.tensor(scale_y.transform(diabetes.target[index, None]), dtype=torch.float32)
    return TensorDataset(x, y)


train_loader = DataLoader(rows(train_rows), batch_size=20, shuffle=True)
val_loader = DataLoader(rows(val_rows), batch_size=102)


def make_model():
    return nn.Sequential(nn.Linear(10, 24), nn.ELU(), nn.Linear(24, 3))


def pinball(output, target):
    """(B, 3) against (B, 1): the comparison broadcasts on purpose."""
    difference = target - output
    return torch.maximum(QUANTILES * difference, (QUANTILES - 1) * difference).mean()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for x, y in train_loader:
            optimizer.zero_grad()
            pinball(model(x), y).backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    model.eval()
    (x, y) = val_loader.dataset.tensors
    with torch.no_grad():
        output = model(x)
    inside = (output[:, 0] < y[:, 0]) & (y[:, 0] < output[:, 2])
    return {"pinball": pinball(output, y).item(), "covered": inside.float().mean().item()}


@labbook.subject
def subject():
    return labbook.Subject(
        model=make_model,
        loss=pinball,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="other",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = make_model()
    print(evaluate(model))
    train(model, make_optimizer(model), 300)
    print(evaluate(model))
