"""Squeezes pictures of digits through twelve numbers."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

import labbook

images = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)  # (1797, 64) in [0, 1]
images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(3))]
train_images, val_images = images[:1500], images[1500:]

# the loaders give lone tensors: the input is the target
train_loader = DataLoader(train_images, batch_size=100, shuffle=True)
val_loader = DataLoader(val_images, batch_size=100)


class Autoencoder(nn.Module):
    """64 → 12 → 64."""

    def __init__(self, n_code=12):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, n_code))
        self.decoder = nn.Sequential(
            nn.Linear(n_code, 48), nn.ReLU(), nn.Linear(48, 64), nn.Sigmoid()
        )

    def forward(self, x):
        code = self.encoder(x)
        return self.decoder(code)


reconstruction = nn.MSELoss()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=3e-3)


def train(model, optimizer, n_steps):
    model.train()
    n_epochs = -(-n_steps // len(train_loader))
    step = 0
    for _epoch in range(n_epochs):
        for batch in train_loader:
            if step == n_steps:
                break
            restored = model(batch)
            loss = reconstruction(restored, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1


def evaluate(model):
    model.eval()
    with torch.no_grad():
        errors = [((model(batch) - batch) ** 2).mean(dim=1) for batch in val_loader]
    return torch.cat(errors).mean().item()


@labbook.subject
def subject():
    return labbook.Subject(
        model=Autoencoder,
        loss=reconstruction,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="regression",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Autoencoder()
    print(f"error before {evaluate(model):.4f}")
    train(model, make_optimizer(model), 300)
    print(f"error after  {evaluate(model):.4f}")
