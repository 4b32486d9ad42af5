"""Numbers and categories in, two answers out: whether a loan is paid back, and in how many months."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


def make_loans(n, seed):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, 5)).astype(np.float32)
    trade = rng.integers(0, 6, n)
    town = rng.integers(0, 10, n)
    effect = np.array([0.5, -0.5, 1.0, -1.0, 0.0, 0.2])[trade]
    score = numbers[:, 0] - numbers[:, 1] * numbers[:, 2] + effect + 0.1 * (town - 5)
    paid = (score + rng.normal(0, 0.3, n) > 0).astype(np.float32)
    months = (0.6 * score + 0.4 * numbers[:, 3] + rng.normal(0, 0.1, n)).astype(np.float32)
    return numbers, trade, town, np.stack([paid, months], axis=1)


class Loans(Dataset):
    """numbers (5,), trade, town, and both answers (2,)."""

    def __init__(self, n, seed):
        self.columns = make_loans(n, seed)

    def __len__(self):
        return len(self.columns[0])

    def __getitem__(self, i):
        return tuple(column[i] for column in self.columns)


train_loader = DataLoader(Loans(2000, 0), batch_size=64, shuffle=True)
val_loader = DataLoader(Loans(500, 1), batch_size=100)


class TwoHeads(nn.Module):
    """Returns a dict of two outputs."""

    def __init__(self):
        super().__init__()
        self.trade = nn.Embedding(6, 4)
        self.town = nn.Embedding(10, 4)
        self.body = nn.Sequential(nn.Linear(13, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
        self.paid = nn.Linear(48, 1)
        self.months = nn.Linear(48, 1)

    def forward(self, numbers, trade, town):
        joined = torch.cat([numbers, self.trade(trade), self.town(town)], dim=1)
        hidden = self.body(joined)
        return {"paid": self.paid(hidden)[:, 0], "months": self.months(hidden)[:, 0]}


def loss_fn(output, target):
    paid = nn.functional.binary_cross_entropy_with_logits(output["paid"], target[:, 0])
    months = nn.functional.smooth_l1_loss(output["months"], target[:, 1])
    return paid + 2.0 * months


def make_optimizer(model):
    return torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for *inputs, target in train_loader:
            optimizer.zero_grad(set_to_none=True)
            loss_fn(model(*inputs), target).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
            step += 1
            if step == n_steps:
                break


@torch.no_grad()
def evaluate(model):
    model.eval()
    right, error, n = 0, 0.0, 0
    for *inputs, target in val_loader:
        output = model(*inputs)
        right += ((output["paid"] > 0) == (target[:, 0] > 0.5)).sum().item()
        error += (output["months"] - target[:, 1]).abs().sum().item()
        n += len(target)
    return {"accuracy": right / n, "mae": error / n}


@labbook.subject
def subject():
    return labbook.Subject(
        model=TwoHeads,
        loss=loss_fn,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="other",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = TwoHeads()
    print(evaluate(model))
    train(model, make_optimizer(model), 300)
    print(evaluate(model))
