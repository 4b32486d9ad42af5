"""Learns features of digits from two noisy views of each, with a loss over the whole batch."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

digits = load_digits()
order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
pictures = torch.tensor(digits.data / 16.0, dtype=torch.float32)[order]
digit = torch.tensor(digits.target)[order]


class Views(Dataset):
    """Two views of one picture; its index stands in for a target."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        views = [self.view(self.data[i]) for _ in range(2)]
        return torch.stack(views), i

    @staticmethod
    def view(picture):
        kept = (torch.rand(64) > 0.2).float()
        return picture * kept + 0.1 * torch.randn(64)


train_loader = DataLoader(Views(pictures[:1400]), batch_size=100, shuffle=True)


class Encoder(nn.Module):
    """(B, 2, 64) → (B, 2, 16), of length one."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32))
        self.projection = nn.Sequential(nn.ReLU(), nn.Linear(32, 16))

    def forward(self, views):
        return F.normalize(self.projection(self.layers(views)), dim=-1)


def contrast(features, index):
    """Chen et al. 2020: each view must find the other among those of the batch."""
    z = torch.cat([features[:, 0], features[:, 1]])
    similarity = z @ z.T / 0.2
    similarity = similarity.masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
    n = len(index)
    partner = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    return F.cross_entropy(similarity, partner)


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=2e-3)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for views, index in train_loader:
            loss = contrast(model(views), index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    """Accuracy of the nearest neighbour in feature space."""
    model.eval()
    with torch.no_grad():
        features = model.layers(pictures)
    distance = torch.cdist(features[1400:], features[:1400])
    nearest = distance.argmin(dim=1)
    return (digit[:1400][nearest] == digit[1400:]).float().mean().item()


@labbook.subject
def subject():
    return labbook.Subject(
        model=Encoder,
        loss=contrast,
        loader=train_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="other",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Encoder()
    print(evaluate(model))
    train(model, make_optimizer(model), 300)
    print(evaluate(model))
