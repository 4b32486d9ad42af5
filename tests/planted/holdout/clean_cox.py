"""Survival: Cox's partial likelihood, which compares the patients of a batch."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


def patients(n, seed):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 9, generator=g)
    hazard = torch.exp(0.8 * x[:, 0] - 0.5 * x[:, 1])
    death = torch.empty(n).exponential_(1.0, generator=g) / hazard
    end = torch.empty(n).exponential_(0.5, generator=g)
    return TensorDataset(x, torch.minimum(death, end), (death <= end).float())


def cox(risk, target):
    time, event = target
    at_risk = time[None, :] >= time[:, None]
    log_sum = torch.logsumexp(risk[None, :].masked_fill(~at_risk, -1e9), 1)
    return -((risk - log_sum) * event).sum() / event.sum().clamp(min=1)


class Risk(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(9, 32), nn.SELU(), nn.AlphaDropout(0.05), nn.Linear(32, 1, bias=False)
        )

    def forward(self, x):
        return self.net(x).squeeze(1)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Risk,
        loss=cox,
        loader=DataLoader(patients(1200, 0), 60, shuffle=True),
        val=DataLoader(patients(300, 1), 100),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3),
        split=lambda b: (b[0], (b[1], b[2])),
        task="other",
    )
