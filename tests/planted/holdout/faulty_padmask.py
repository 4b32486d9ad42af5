"""Sentiment of toy reviews with an encoder, padded batches."""

import torch
from torch import nn
from torch.utils.data import DataLoader

import labbook

PAD, VOCAB, LENGTH = 0, 60, 16


def reviews(n, seed):
    g = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        y = int(torch.randint(0, 2, (1,), generator=g))
        k = int(torch.randint(5, LENGTH - 1, (1,), generator=g))
        ids = torch.randint(21, VOCAB, (k,), generator=g)
        where = torch.randperm(k, generator=g)[:3]
        ids[where] = torch.randint(1 + 10 * y, 11 + 10 * y, (3,), generator=g)
        out.append((ids, y))
    return out


def collate(items):
    ids = torch.full((len(items), LENGTH), PAD)
    for i, (t, _) in enumerate(items):
        ids[i, : len(t)] = t
    return ids, torch.tensor([y for _, y in items])


class Classifier(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.emb = nn.Embedding(VOCAB, d, padding_idx=PAD)
        self.pos = nn.Parameter(torch.randn(LENGTH, d) * 0.02)
        layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.enc = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.fc = nn.Linear(d, 2)

    def forward(self, ids):
        mask = ids != PAD  # True is ignored by the encoder
        h = self.enc(self.emb(ids) + self.pos, src_key_padding_mask=mask)
        keep = (~mask).float().unsqueeze(-1)
        return self.fc((h * keep).sum(1) / keep.sum(1))


@labbook.subject
def subject():
    return labbook.Subject(
        model=Classifier,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(reviews(800, 0), 32, shuffle=True, collate_fn=collate),
        val=DataLoader(reviews(200, 1), 50, collate_fn=collate),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
    )
