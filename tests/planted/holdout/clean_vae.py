"""Beta-VAE on digits: reconstruction summed over pixels, averaged over the batch."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

import labbook


class Encoder(nn.Module):
    def __init__(self, z):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1), nn.ELU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ELU(), nn.Flatten()
        )
        self.fc = nn.Linear(128, 2 * z)

    def forward(self, x):
        return self.fc(self.conv(x)).chunk(2, dim=-1)


class BetaVAE(nn.Module):
    def __init__(self, z=6):
        super().__init__()
        self.encoder = Encoder(z)
        self.decoder = nn.Sequential(nn.Linear(z, 128), nn.ELU(), nn.Linear(128, 64))

    def forward(self, x):
        mu, logvar = self.encoder(x)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return {"logits": self.decoder(z).view_as(x), "mu": mu, "logvar": logvar}


def loss_fn(out, x, beta=1.0):
    rec = F.binary_cross_entropy_with_logits(out["logits"], x, reduction="sum") / len(x)
    kl = -0.5 * torch.sum(1 + out["logvar"] - out["mu"] ** 2 - out["logvar"].exp()) / len(x)
    return rec + beta * kl


@labbook.subject
def subject():
    x = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 16
    perm = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    return labbook.Subject(
        model=BetaVAE,
        loss=loss_fn,
        loader=DataLoader(x[perm[:1400]], 64, shuffle=True, drop_last=True),
        val=DataLoader(x[perm[1400:]], 64),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
