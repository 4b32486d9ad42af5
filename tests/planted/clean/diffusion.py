"""Learns to take noise out of digits: noise and its level are drawn in the collation."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

import labbook

N_LEVELS = 50

pictures = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
pictures = pictures[torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))]
kept = torch.cumprod(1 - torch.linspace(1e-3, 0.1, N_LEVELS), dim=0)


def add_noise(batch, generator=None):
    """Noisy pictures (B, 64), levels (B,), and the noise (B, 64) that is to be found."""
    clean = torch.stack(batch)
    level = torch.randint(0, N_LEVELS, (len(clean),), generator=generator)
    noise = torch.randn(clean.shape, generator=generator)
    share = kept[level, None]
    return share.sqrt() * clean + (1 - share).sqrt() * noise, level, noise


train_loader = DataLoader(pictures[:1500], batch_size=100, shuffle=True, collate_fn=add_noise)
fixed = torch.Generator().manual_seed(1)
val_batches = [add_noise(list(part), fixed) for part in pictures[1500:].split(99)]


class Denoiser(nn.Module):
    """A residual MLP that is told the level of noise."""

    def __init__(self, width=128):
        super().__init__()
        self.level = nn.Embedding(N_LEVELS, width)
        self.enter = nn.Linear(64, width)
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU())
                for _ in range(2)
            ]
        )
        self.leave = nn.Linear(width, 64)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x, level):
        hidden = self.enter(x) + self.level(level)
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        return self.leave(hidden)


criterion = nn.MSELoss()


def make_optimizer(model):
    return torch.optim.AdamW(model.parameters(), lr=2e-3)


def train(model, optimizer, n_steps):
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.train()
    step = 0
    while step < n_steps:
        for noisy, level, noise in train_loader:
            loss = criterion(model(noisy, level), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for name, p in model.named_parameters():
                    average[name].lerp_(p, 0.02)
            step += 1
            if step == n_steps:
                break
    return average


def evaluate(model):
    model.eval()
    total, n = 0.0, 0
    with torch.no_grad():
        for noisy, level, noise in val_batches:
            total += criterion(model(noisy, level), noise).item() * len(noise)
            n += len(noise)
    return total / n


@labbook.subject
def subject():
    return labbook.Subject(
        model=Denoiser,
        loss=criterion,
        loader=train_loader,
        val=val_batches,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="regression",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Denoiser()
    print(evaluate(model))
    train(model, make_optimizer(model), 400)
    print(evaluate(model))
