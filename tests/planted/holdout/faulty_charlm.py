"""A pre-norm decoder over characters of a made-up grammar."""

import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

NOUNS, VERBS = ["cat", "dog", "bird", "child"], ["sees", "likes", "hears", "finds"]
CHARS = sorted(set("abcdefghijklmnopqrstuvwxyz ."))
STOI = {c: i for i, c in enumerate(CHARS)}


def text(n, seed):
    r = random.Random(seed)
    return " ".join(
        f"the {r.choice(NOUNS)} {r.choice(VERBS)} a {r.choice(NOUNS)}." for _ in range(n)
    )


class Chars(Dataset):
    def __init__(self, s, block=32):
        self.t = torch.tensor([STOI[c] for c in s])
        self.block = block

    def __len__(self):
        return (len(self.t) - 1) // self.block

    def __getitem__(self, i):
        i *= self.block
        return self.t[i : i + self.block], self.t[i + 1 : i + 1 + self.block]


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.heads = heads

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = (
            self.qkv(self.n1(x)).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        )
        a = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(a.transpose(1, 2).reshape(n, t, d))
        return x + self.mlp(self.n2(x))


class GPT(nn.Module):
    def __init__(self, d=48, layers=2):
        super().__init__()
        self.tok, self.pos = nn.Embedding(len(CHARS), d), nn.Embedding(32, d)
        self.blocks = nn.Sequential(*[Block(d, 4) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, len(CHARS), bias=False)

    def forward(self, ids):
        x = self.tok(ids) + self.pos(torch.arange(ids.shape[1], device=ids.device))
        return self.head(self.norm(self.blocks(x)))


def lm_loss(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


@labbook.subject
def subject():
    return labbook.Subject(
        model=GPT,
        loss=lm_loss,
        loader=DataLoader(Chars(text(800, 0)), 16, shuffle=True),
        val=DataLoader(Chars(text(100, 1)), 16),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 1e-3, weight_decay=0.1),
        task="language",
    )
