"""Variable-length sequences, packed by a custom collate."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader

import labbook


def make(n, seed):
    g = torch.Generator().manual_seed(seed)
    items = []
    for _ in range(n):
        y = int(torch.randint(0, 3, (1,), generator=g))
        k = int(torch.randint(4, 15, (1,), generator=g))
        x = torch.randn(k, 5, generator=g)
        x[:, y] += 1.0
        items.append((x, y))
    return items


def collate(batch):
    labels = torch.tensor([y for _, y in batch])
    seqs = sorted((x for x, _ in batch), key=len, reverse=True)
    lengths = torch.tensor([len(s) for s in seqs])
    return pad_sequence(seqs, batch_first=True), lengths, labels


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(5, 32, batch_first=True)
        self.fc = nn.Linear(32, 3)

    def forward(self, x, lengths):
        _, h = self.gru(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        return self.fc(h[-1])


@labbook.subject
def subject():
    return labbook.Subject(
        model=Net,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(make(900, 0), 30, shuffle=True, collate_fn=collate),
        val=DataLoader(make(150, 1), 30, collate_fn=collate),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3),
    )
