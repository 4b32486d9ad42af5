"""Sequence classification with a tiny DistilBERT, dict batches, padding on the right."""

import torch
from torch.utils.data import DataLoader
from transformers import DistilBertConfig, DistilBertForSequenceClassification

import labbook


class Texts(torch.utils.data.Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.rows = []
        for _ in range(n):
            k = int(torch.randint(6, 18, (1,), generator=g))
            ids = torch.randint(3, 60, (k,), generator=g)
            label = int((ids < 20).sum() > (ids >= 40).sum())
            self.rows.append((torch.cat([torch.tensor([1]), ids, torch.tensor([2])]), label))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def collate(rows):
    ids = torch.nn.utils.rnn.pad_sequence([r[0] for r in rows], batch_first=True)
    return {
        "input_ids": ids,
        "attention_mask": (ids > 0).long(),
        "labels": torch.tensor([r[1] for r in rows]),
    }


@labbook.subject
def subject():
    config = DistilBertConfig(
        vocab_size=60,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=64,
        max_position_embeddings=32,
        num_labels=2,
    )
    return labbook.Subject(
        model=lambda: DistilBertForSequenceClassification(config),
        loader=DataLoader(Texts(800, 0), 32, shuffle=True, collate_fn=collate),
        val=DataLoader(Texts(160, 1), 32, collate_fn=collate),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 5e-4),
    )
