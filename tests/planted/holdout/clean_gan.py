"""A GAN on a ring of Gaussians; two optimizers inside the loop."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import labbook


def ring(n, seed):
    g = torch.Generator().manual_seed(seed)
    k = torch.randint(0, 8, (n,), generator=g) * (2 * math.pi / 8)
    return torch.stack([k.cos(), k.sin()], 1) + 0.05 * torch.randn(n, 2, generator=g)


class GAN(nn.Module):
    """`forward` is what the discriminator says of real points and of as many made ones."""

    def __init__(self, z=8, h=64):
        super().__init__()
        self.z = z
        self.gen = nn.Sequential(
            nn.Linear(z, h), nn.LeakyReLU(0.2), nn.Linear(h, h), nn.LeakyReLU(0.2), nn.Linear(h, 2)
        )
        self.disc = nn.Sequential(
            nn.Linear(2, h), nn.LeakyReLU(0.2), nn.Linear(h, h), nn.LeakyReLU(0.2), nn.Linear(h, 1)
        )

    def forward(self, real):
        fake = self.gen(torch.randn(len(real), self.z))
        return self.disc(real).squeeze(1), self.disc(fake).squeeze(1)


loader = DataLoader(ring(2000, 0), 64, shuffle=True, drop_last=True)


def train(model, optimizer, n_steps):
    opt_g = torch.optim.Adam(model.gen.parameters(), 1e-3, betas=(0.5, 0.9))
    opt_d = torch.optim.Adam(model.disc.parameters(), 1e-3, betas=(0.5, 0.9))
    step = 0
    while step < n_steps:
        for real in loader:
            fake = model.gen(torch.randn(len(real), model.z))
            d_loss = (
                F.softplus(-model.disc(real)).mean() + F.softplus(model.disc(fake.detach())).mean()
            )
            opt_d.zero_grad()
            d_loss.backward()
            opt_d.step()
            g_loss = F.softplus(-model.disc(fake)).mean()
            opt_g.zero_grad()
            g_loss.backward()
            opt_g.step()
            step += 1
            if step == n_steps:
                break


@labbook.subject
def subject():
    return labbook.Subject(
        model=GAN,
        loss=lambda out, real: F.softplus(-out[0]).mean() + F.softplus(out[1]).mean(),
        loader=loader,
        train=train,
        task="other",
    )
