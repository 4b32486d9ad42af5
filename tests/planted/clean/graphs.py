"""Classifies small graphs by what they are: rings, stars or random trees."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

N_NODES = 12


def make_graph(kind, rng):
    """Adjacency with self loops, normalised by degree."""
    adjacency = np.eye(N_NODES)
    order = rng.permutation(N_NODES)
    for i in range(1, N_NODES):
        parent = {0: i - 1, 1: 0, 2: int(rng.integers(i))}[kind]
        adjacency[order[i], order[parent]] = adjacency[order[parent], order[i]] = 1
    if kind == 0:
        adjacency[order[0], order[-1]] = adjacency[order[-1], order[0]] = 1
    for a, b in rng.integers(0, N_NODES, (2, 2)):
        adjacency[a, b] = adjacency[b, a] = 1  # noise
    degree = adjacency.sum(1)
    return (adjacency / np.sqrt(np.outer(degree, degree))).astype(np.float32)


class Graphs(Dataset):
    """Node features (N, 4), adjacency (N, N), kind."""

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.kinds = rng.integers(0, 3, n)
        self.graphs = np.stack([make_graph(int(kind), rng) for kind in self.kinds])
        self.features = rng.normal(size=(n, N_NODES, 4)).astype(np.float32)
        self.features[..., 0] = 1.0

    def __len__(self):
        return len(self.kinds)

    def __getitem__(self, i):
        return self.features[i], self.graphs[i], self.kinds[i]


train_loader = DataLoader(Graphs(900, 0), batch_size=30, shuffle=True)
val_loader = DataLoader(Graphs(300, 1), batch_size=100)


class GraphConvolution(nn.Module):
    """Kipf and Welling 2017: A H W."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(n_in, n_out))
        nn.init.xavier_normal_(self.kernel)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, h, adjacency):
        return adjacency @ (h @ self.kernel) + self.bias


class GCN(nn.Module):
    """Two convolutions, and the mean and maximum over nodes."""

    def __init__(self):
        super().__init__()
        self.gc1 = GraphConvolution(4, 32)
        self.gc2 = GraphConvolution(32, 32)
        self.out = nn.Linear(64, 3)

    def forward(self, features, adjacency):
        h = torch.relu(self.gc1(features, adjacency))
        h = torch.relu(self.gc2(h, adjacency))
        return self.out(torch.cat([h.mean(dim=1), h.amax(dim=1)], dim=1))


loss_fn = nn.CrossEntropyLoss()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for features, adjacency, kinds in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(features, adjacency), kinds)
            loss.backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    model.eval()
    right = 0
    with torch.no_grad():
        for features, adjacency, kinds in val_loader:
            right += (model(features, adjacency).argmax(1) == kinds).sum().item()
    return {"accuracy": right / len(val_loader.dataset)}


@labbook.subject
def subject():
    return labbook.Subject(
        model=GCN,
        loss=loss_fn,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = GCN()
    print(evaluate(model))
    train(model, make_optimizer(model), 300)
    print(evaluate(model))
