"""GPT-2 on a Markov chain; the data set makes inputs and next tokens."""

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import GPT2Config, GPT2LMHeadModel

import labbook


class Chain(Dataset):
    def __init__(self, n, seed, length=25):
        nxt = torch.randperm(24, generator=torch.Generator().manual_seed(3))
        g = torch.Generator().manual_seed(seed)
        ids = torch.randint(0, 24, (n, 1), generator=g)
        for _ in range(length - 1):
            step = nxt[ids[:, -1:]]
            noise = torch.randint(0, 24, step.shape, generator=g)
            ids = torch.cat(
                [ids, torch.where(torch.rand(step.shape, generator=g) < 0.3, noise, step)], 1
            )
        self.ids = ids

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i, :-1], "labels": self.ids[i, 1:]}


def gpt2():
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=24,
            n_positions=32,
            n_embd=32,
            n_layer=2,
            n_head=4,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


@labbook.subject
def subject():
    return labbook.Subject(
        model=gpt2,
        loader=DataLoader(Chain(600, 0), 16, shuffle=True),
        val=DataLoader(Chain(100, 1), 20),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3),
    )
