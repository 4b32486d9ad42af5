"""Finds the one payment in twenty that is not honest."""

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

N_FEATURES = 12


def make_payments(n, seed):
    """Half the features carry a signal, through two interactions."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, N_FEATURES)).astype(np.float32)
    score = 1.6 * x[:, 0] - 1.2 * x[:, 1] + 1.5 * x[:, 2] * x[:, 3] + abs(x[:, 4]) - x[:, 5]
    y = (score + rng.normal(0, 0.5, n) > 5.3).astype(np.float32)
    return x, y


class Payments(Dataset):
    """Rows and 0/1 labels."""

    def __init__(self, n, seed):
        self.x, self.y = make_payments(n, seed)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


train_payments, val_payments = Payments(4000, 0), Payments(2000, 1)
train_loader = DataLoader(train_payments, batch_size=128, shuffle=True)
val_loader = DataLoader(val_payments, batch_size=500)

positive = train_payments.y.mean()
pos_weight = torch.tensor((1 - positive) / positive)


class Detector(nn.Module):
    """One logit per payment, (B,)."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(N_FEATURES, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, 32),
            nn.ReLU(),
        )
        self.logit = nn.Linear(32, 1)

    def forward(self, x):
        return self.logit(self.body(x)).squeeze(1)


criterion = nn.BCEWithLogitsLoss(pos_weight=pos_weight)


def make_optimizer(model):
    return torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)


def run_epoch(model, optimizer, limit):
    n_done = 0
    for x, y in train_loader:
        if n_done == limit:
            break
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        n_done += 1
    return n_done


def train(model, optimizer, n_steps):
    left = n_steps
    while left > 0:
        model.train()
        left -= run_epoch(model, optimizer, left)


def evaluate(model):
    model.eval()
    scores, truth = [], []
    with torch.no_grad():
        for x, y in val_loader:
            scores.append(torch.sigmoid(model(x)))
            truth.append(y)
    scores, truth = torch.cat(scores).numpy(), torch.cat(truth).numpy()
    return {
        "auc": roc_auc_score(truth, scores),
        "average precision": average_precision_score(truth, scores),
        "recall": (scores[truth == 1] > 0.5).mean(),
    }


@labbook.subject
def subject():
    return labbook.Subject(
        model=Detector,
        loss=criterion,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="binary",
        allow={"data/imbalance": "frauds are rare, and the loss is weighted for it"},
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    detector = Detector()
    print(f"{positive:.3f} positive", evaluate(detector))
    train(detector, make_optimizer(detector), 300)
    print(evaluate(detector))
