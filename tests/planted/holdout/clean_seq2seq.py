"""Reverse a string: nn.Transformer with teacher forcing and padding."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import labbook

PAD, BOS, EOS, V = 0, 1, 2, 14


def pairs(n, seed):
    g = torch.Generator().manual_seed(seed)
    return [
        torch.randint(3, V, (int(torch.randint(3, 9, (1,), generator=g)),), generator=g)
        for _ in range(n)
    ]


def collate(items):
    src = torch.full((len(items), 8), PAD)
    tgt = torch.full((len(items), 10), PAD)
    for i, s in enumerate(items):
        src[i, : len(s)] = s
        tgt[i, : len(s) + 2] = torch.cat([torch.tensor([BOS]), s.flip(0), torch.tensor([EOS])])
    return src, tgt[:, :-1], tgt[:, 1:]


class Seq2Seq(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.emb = nn.Embedding(V, d, padding_idx=PAD)
        self.pos = nn.Parameter(torch.randn(10, d) * 0.1)
        self.core = nn.Transformer(d, 4, 1, 1, 64, 0.0, batch_first=True)
        self.out = nn.Linear(d, V)

    def forward(self, src, tgt):
        n = tgt.shape[1]
        causal = torch.triu(torch.ones(n, n, dtype=torch.bool), 1)
        pad = src == PAD
        h = self.core(
            self.emb(src) + self.pos[: src.shape[1]], self.emb(tgt) + self.pos[:n], tgt_mask=causal,
            src_key_padding_mask=pad, memory_key_padding_mask=pad,
        )  # fmt: skip
        return self.out(h)


def loss_fn(logits, y):
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=PAD, label_smoothing=0.1)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Seq2Seq,
        loss=loss_fn,
        loader=DataLoader(pairs(1000, 0), 32, shuffle=True, collate_fn=collate),
        val=DataLoader(pairs(128, 1), 32, collate_fn=collate),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 2e-3, betas=(0.9, 0.98)),
    )
