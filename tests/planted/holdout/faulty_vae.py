"""A VAE on 8x8 digits."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader

import labbook


class VAE(nn.Module):
    def __init__(self, z=8):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(64, 128), nn.ReLU())
        self.mu, self.logvar = nn.Linear(128, z), nn.Linear(128, z)
        self.dec = nn.Sequential(nn.Linear(z, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp() if self.training else mu
        return self.dec(z), mu, logvar


def elbo(out, x):
    logits, mu, logvar = out
    rec = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    kl = 0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
    return (rec + kl).mean()


@labbook.subject
def subject():
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    perm = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return labbook.Subject(
        model=VAE,
        loss=elbo,
        loader=DataLoader(x[perm[:1500]], 64, shuffle=True),
        val=DataLoader(x[perm[1500:]], 64),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
