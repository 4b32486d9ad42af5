"""Policy gradient on a stored batch of bandit rounds: advantages of both signs."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def rounds(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=g)
    a = torch.randint(0, 4, (n,), generator=g)
    w = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    r = (x @ w).gather(1, a[:, None]).squeeze(1) + 0.3 * torch.randn(n, generator=g)
    return TensorDataset(x, a, (r - r.mean()) / r.std())


def reinforce(logits, target):
    action, advantage = target
    dist = torch.distributions.Categorical(logits=logits)
    ratio = (dist.log_prob(action) + torch.log(torch.tensor(4.0))).exp()
    clipped = ratio.clamp(0.5, 2.0)
    return -torch.min(ratio * advantage, clipped * advantage).mean() - 0.01 * dist.entropy().mean()


@labbook.subject
def subject():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 4)),
        loss=reinforce,
        loader=DataLoader(rounds(2000, 1), 100, shuffle=True),
        val=DataLoader(rounds(400, 2), 100),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
        split=lambda b: (b[0], (b[1], b[2])),
        task="other",
    )
