"""A character-level transformer language model on a small made-up text."""

import math
import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

BLOCK = 32
ACCUMULATE = 2

subjects = ["the miller", "a sailor", "the old queen", "my brother", "no one", "the grey cat"]
verbs = ["sees", "carries", "forgets", "paints", "sells", "remembers"]
objects = ["the river", "a wooden box", "seven candles", "the long road", "a letter", "bread"]
endings = ["at dawn", "in winter", "without a word", "every day", "by the harbour"]


def write_text(n_sentences, seed):
    pen = random.Random(seed)
    lines = []
    for _ in range(n_sentences):
        words = [pen.choice(part) for part in (subjects, verbs, objects, endings)]
        lines.append(" ".join(words) + ".\n")
    return "".join(lines)


train_text, val_text = write_text(900, seed=1), write_text(100, seed=2)
alphabet = sorted(set(train_text))
index_of = {character: i for i, character in enumerate(alphabet)}
VOCABULARY = len(alphabet)


class Windows(Dataset):
    """Pairs of BLOCK tokens and the same moved by one."""

    def __init__(self, text, stride):
        self.tokens = torch.tensor([index_of[character] for character in text])
        self.starts = range(0, len(self.tokens) - BLOCK - 1, stride)

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, i):
        start = self.starts[i]
        x = self.tokens[start : start + BLOCK]
        y = self.tokens[start + 1 : start + BLOCK + 1]
        return x, y


train_loader = DataLoader(Windows(train_text, 7), batch_size=16, shuffle=True, drop_last=True)
val_loader = DataLoader(Windows(val_text, BLOCK), batch_size=32)


class SelfAttention(nn.Module):
    """Causal attention with four heads."""

    def __init__(self, width, n_heads=4):
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.register_buffer("mask", torch.tril(torch.ones(BLOCK, BLOCK)).view(1, 1, BLOCK, BLOCK))

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(x).split(c, dim=2)
        q = q.view(b, t, self.n_heads, c // self.n_heads).transpose(1, 2)  # (B, h, T, c/h)
        k = k.view(b, t, self.n_heads, c // self.n_heads).transpose(1, 2)
        v = v.view(b, t, self.n_heads, c // self.n_heads).transpose(1, 2)
        scores = q @ k.transpose(-2, -1) / math.sqrt(c // self.n_heads)
        scores = scores.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
        mixed = F.softmax(scores, dim=-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(b, t, c))


class Layer(nn.Module):
    """Attention and a feed-forward part, each after a norm and beside a residual path."""

    def __init__(self, width):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1)
        )

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LanguageModel(nn.Module):
    """Two layers; returns logits (B, T, V)."""

    def __init__(self, width=32):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, width)
        self.position = nn.Embedding(BLOCK, width)
        self.layers = nn.ModuleList([Layer(width) for _ in range(2)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.apply(self._init)

    @staticmethod
    def _init(module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, tokens):
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.token(tokens) + self.position(positions)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


def loss_fn(logits, targets):
    return F.cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1))


def make_optimizer(model):
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    plain = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": decayed, "weight_decay": 0.1},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95))


def lr_factor(step, n_steps):
    warm_up = max(1, n_steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warm_up) / max(1, n_steps - warm_up)))


def train(model, optimizer, n_steps):
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: lr_factor(step, n_steps))
    model.train()
    batches = iter(train_loader)
    for _ in range(n_steps):
        optimizer.zero_grad(set_to_none=True)
        for _ in range(ACCUMULATE):
            try:
                x, y = next(batches)
            except StopIteration:
                batches = iter(train_loader)
                x, y = next(batches)
            loss = loss_fn(model(x), y) / ACCUMULATE
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def evaluate(model):
    model.eval()
    total, n_tokens = 0.0, 0
    for x, y in val_loader:
        total += F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum").item()
        n_tokens += y.numel()
    model.train()
    return {"loss": total / n_tokens, "perplexity": math.exp(total / n_tokens)}


@labbook.subject
def subject():
    return labbook.Subject(
        model=LanguageModel,
        loss=loss_fn,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="language",
    )


if __name__ == "__main__":
    torch.manual_seed(1337)
    lm = LanguageModel()
    print(evaluate(lm))
    train(lm, make_optimizer(lm), 200)
    print(evaluate(lm))
