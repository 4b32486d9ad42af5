"""CTC on stretched symbol strings, bidirectional GRU."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

BOOK = torch.randn(8, 10, generator=torch.Generator().manual_seed(2))


def strings(n, seed, k=4, rep=5):
    g = torch.Generator().manual_seed(seed)
    s = torch.randint(1, 8, (n, k), generator=g)
    x = BOOK[s].repeat_interleave(rep, 1)
    return TensorDataset(x + 0.3 * torch.randn(x.shape, generator=g), s)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(10, 40, batch_first=True, bidirectional=True)
        self.head = nn.Linear(80, 8)

    def forward(self, x):
        h, _ = self.rnn(x)
        return self.head(h)


def criterion(out, s):
    n, t, _ = out.shape
    return F.ctc_loss(out.transpose(0, 1), s, torch.full((n,), t), torch.full((n,), s.shape[1]))


@labbook.subject
def subject():
    return labbook.Subject(
        model=Net,
        loss=criterion,
        loader=DataLoader(strings(600, 0), 30, shuffle=True),
        val=DataLoader(strings(90, 1), 30),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
        task="other",
    )
