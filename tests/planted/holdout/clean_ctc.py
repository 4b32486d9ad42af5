"""CTC: read a short string from a stretched signal."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

PROTO = torch.randn(6, 8, generator=torch.Generator().manual_seed(9))


class Strings(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.items = []
        for _ in range(n):
            k = int(torch.randint(3, 6, (1,), generator=g))
            s = torch.randint(1, 6, (k,), generator=g)
            frames = PROTO[s].repeat_interleave(4, 0) + 0.2 * torch.randn(4 * k, 8, generator=g)
            x = torch.zeros(24, 8)
            x[: 4 * k] = frames
            t = torch.zeros(5, dtype=torch.long)
            t[:k] = s
            self.items.append((x, t, k))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(8, 32, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(64, 6)

    def forward(self, x):
        return self.fc(self.rnn(x)[0]).log_softmax(-1)


def ctc(logp, target):
    labels, lengths = target
    frames = torch.full((len(logp),), logp.shape[1])
    return F.ctc_loss(logp.transpose(0, 1), labels, frames, lengths, blank=0, zero_infinity=True)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Reader,
        loss=ctc,
        loader=DataLoader(Strings(600, 0), 20, shuffle=True),
        val=DataLoader(Strings(100, 1), 20),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 3e-3),
        split=lambda b: (b[0], (b[1], b[2])),
        task="other",
    )
