"""Learns ratings from users and films, with sparse embeddings that have their own optimizer."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

N_USERS, N_FILMS = 120, 80

rng = np.random.default_rng(0)
tastes, traits = rng.normal(size=(N_USERS, 3)), rng.normal(size=(N_FILMS, 3))
pairs = rng.permutation(N_USERS * N_FILMS)[:5000]
users, films = pairs // N_FILMS, pairs % N_FILMS
ratings = (tastes[users] * traits[films]).sum(1) / 2 + rng.normal(0, 0.2, len(users))
everything = TensorDataset(
    torch.from_numpy(users), torch.from_numpy(films), torch.from_numpy(ratings).float()
)
train_set = torch.utils.data.Subset(everything, range(4000))
val_set = torch.utils.data.Subset(everything, range(4000, 5000))
train_loader = DataLoader(train_set, batch_size=128, shuffle=True)
val_loader = DataLoader(val_set, batch_size=250)


class Factors(nn.Module):
    """A product of embeddings, then a small net."""

    def __init__(self, width=8):
        super().__init__()
        self.users = nn.Embedding(N_USERS, width, sparse=True)
        self.films = nn.Embedding(N_FILMS, width, sparse=True)
        self.head = nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, user, film):
        return self.head(self.users(user) * self.films(film)).squeeze(-1)


def make_optimizer(model):
    return torch.optim.Adam(model.head.parameters(), lr=5e-3)


def make_sparse_optimizer(model):
    sparse = [*model.users.parameters(), *model.films.parameters()]
    return torch.optim.SparseAdam(sparse, lr=2e-2)


def train(model, optimizer, n_steps):
    sparse_optimizer = make_sparse_optimizer(model)
    model.train()
    step = 0
    while step < n_steps:
        for user, film, rating in train_loader:
            optimizer.zero_grad()
            sparse_optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(user, film), rating)
            loss.backward()
            optimizer.step()
            sparse_optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for user, film, rating in val_loader:
            total += ((model(user, film) - rating) ** 2).sum().item()
    return {"rmse": (total / len(val_set)) ** 0.5}


@labbook.subject
def subject():
    return labbook.Subject(
        model=Factors,
        loss=nn.MSELoss(),
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="regression",
        allow={"optim/missing-parameters": "the embeddings have an optimizer of their own"},
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Factors()
    print(evaluate(model))
    train(model, make_optimizer(model), 400)
    print(evaluate(model))
