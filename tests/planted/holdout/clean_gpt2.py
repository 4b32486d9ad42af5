"""A tiny GPT-2 on a Markov chain."""

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import GPT2Config, GPT2LMHeadModel

import labbook


class Markov(Dataset):
    def __init__(self, n, seed, length=24):
        p = torch.rand(20, 20, generator=torch.Generator().manual_seed(7)).pow(6)
        g = torch.Generator().manual_seed(seed)
        ids = torch.randint(0, 20, (n, 1), generator=g)
        for _ in range(length - 1):
            ids = torch.cat([ids, torch.multinomial(p[ids[:, -1]], 1, generator=g)], 1)
        self.ids = ids

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i], "labels": self.ids[i].clone()}


@labbook.subject
def subject():
    cfg = GPT2Config(
        vocab_size=20,
        n_positions=24,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return labbook.Subject(
        model=lambda: GPT2LMHeadModel(cfg),
        loader=DataLoader(Markov(600, 0), 16, shuffle=True),
        val=DataLoader(Markov(100, 1), 20),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 5e-4, weight_decay=0.01),
    )
