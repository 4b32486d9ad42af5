"""A decoder with hand-written RMSNorm, rotary-free, under bf16 autocast; warm-up and cosine."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class RMSNorm(nn.Module):
    def __init__(self, d, eps=1e-6):
        super().__init__()
        self.g, self.eps = nn.Parameter(torch.ones(d)), eps

    def forward(self, x):
        return (
            self.g * x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps).to(x.dtype)
        )


class Layer(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h, self.n1, self.n2 = h, RMSNorm(d), RMSNorm(d)
        self.qkv, self.o = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.up, self.gate, self.down = (
            nn.Linear(d, 2 * d),
            nn.Linear(d, 2 * d),
            nn.Linear(2 * d, d),
        )

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(self.n1(x)).view(n, t, 3, self.h, -1).permute(2, 0, 3, 1, 4)
        x = x + self.o(
            F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, d)
        )
        y = self.n2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class LM(nn.Module):
    def __init__(self, vocab=32, d=48, t=24):
        super().__init__()
        self.emb, self.pos = nn.Embedding(vocab, d), nn.Parameter(0.02 * torch.randn(t, d))
        self.layers = nn.ModuleList([Layer(d, 4) for _ in range(2)])
        self.norm = RMSNorm(d)
        nn.init.normal_(self.emb.weight, std=0.02)

    def forward(self, ids):
        with torch.autocast("cpu", torch.bfloat16):
            x = self.emb(ids) + self.pos[: ids.shape[1]]
            for layer in self.layers:
                x = layer(x)
            logits = F.linear(self.norm(x), self.emb.weight)
        return logits.float()


def copies(n, seed):
    g = torch.Generator().manual_seed(seed)
    half = torch.randint(0, 32, (n, 5), generator=g)
    ids = half.repeat(1, 5)
    return TensorDataset(ids[:, :24], ids[:, 1:25])


loader = DataLoader(copies(800, 0), 16, shuffle=True)
val = DataLoader(copies(160, 1), 32)


def ce(logits, y):
    return F.cross_entropy(logits.reshape(-1, 32), y.reshape(-1))


def train(model, opt, n_steps):
    warm = max(1, n_steps // 10)

    def factor(s):
        return (
            (s + 1) / warm
            if s < warm
            else 0.55 + 0.45 * math.cos(math.pi * (s - warm) / max(1, n_steps - warm))
        )

    sched = torch.optim.lr_scheduler.LambdaLR(opt, factor)
    s = 0
    while s < n_steps:
        for x, y in loader:
            loss = ce(model(x), y)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            sched.step()
            s += 1
            if s == n_steps:
                break


@labbook.subject
def subject():
    return labbook.Subject(
        model=LM, loss=ce, loader=loader, val=val, train=train, task="language",
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), 2e-3, betas=(0.9, 0.95), weight_decay=0.1),
    )  # fmt: skip
