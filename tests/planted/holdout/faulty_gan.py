"""The generator's side of a GAN, against a fixed discriminator."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import labbook

torch.manual_seed(0)
real = torch.randn(2000, 2) * 0.3 + torch.tensor([1.0, -1.0])
disc = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
opt = torch.optim.Adam(disc.parameters(), 1e-2)
for _ in range(100):
    fake = torch.randn(256, 2)
    d = F.softplus(-disc(real[torch.randint(2000, (256,))])).mean() + F.softplus(disc(fake)).mean()
    opt.zero_grad()
    d.backward()
    opt.step()
disc.requires_grad_(False)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
        )

    def forward(self, z):
        return self.net(z)


def g_loss(fake, _):
    score = disc(fake.detach())
    loss = F.binary_cross_entropy_with_logits(score, torch.ones_like(score))
    return loss + 1e-4 * fake.pow(2).mean()


@labbook.subject
def subject():
    z = torch.randn(2048, 8, generator=torch.Generator().manual_seed(1))
    return labbook.Subject(
        model=Generator,
        loss=g_loss,
        loader=DataLoader(z, 64, shuffle=True),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
        task="other",
    )
