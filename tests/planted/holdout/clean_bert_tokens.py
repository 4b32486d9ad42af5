"""Token classification with a tiny BERT: padded dict batches, labels of -100 at the padding."""

import torch
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForTokenClassification

import labbook


def sentences(n, seed):
    g = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        k = int(torch.randint(6, 16, (1,), generator=g))
        ids = torch.randint(2, 50, (k,), generator=g)
        labels = (ids >= 40).long()
        after = torch.roll(ids, 1) >= 45
        after[0] = False
        labels[after] = 2
        out.append({"input_ids": ids, "labels": labels})
    return out


def collate(items):
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad([i["input_ids"] for i in items], batch_first=True, padding_value=0)
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "labels": pad([i["labels"] for i in items], batch_first=True, padding_value=-100),
    }


def build():
    return BertForTokenClassification(
        BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                   intermediate_size=64, max_position_embeddings=32, num_labels=3)
    )  # fmt: skip


@labbook.subject
def subject():
    return labbook.Subject(
        model=build,
        loader=DataLoader(sentences(500, 0), 16, shuffle=True, collate_fn=collate),
        val=DataLoader(sentences(100, 1), 16, collate_fn=collate),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
    )
