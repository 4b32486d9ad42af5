"""Clean programs, small and of many kinds: no rule of the model's may alarm on one of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.data import DataLoader, TensorDataset

__all__ = ["CE", "CLASSES", "CLEAN", "adam", "loader", "loop_of", "mlp", "program"]

G = torch.Generator().manual_seed(0)
X = torch.randn(96, 12, generator=G)
CLASSES = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
REAL = (X @ torch.randn(12, 1, generator=G)) + 0.1 * torch.randn(96, 1, generator=G)
IMAGES = torch.randn(64, 3, 8, 8, generator=G)
DIGITS = (IMAGES.mean((1, 2, 3)) > 0).long()
SERIES = torch.randn(64, 9, 4, generator=G)
MASK = (torch.rand(64, 12, generator=G) < 0.3).long()
TEXT = torch.randint(0, 17, (64, 13), generator=G)
BITS = (X[:, :5] > 0).float()


def loader(*tensors, size=16):
    return DataLoader(TensorDataset(*tensors), size, shuffle=True)


def loader_of(rows):
    return DataLoader(rows, 16)


def adam(model):
    return torch.optim.Adam(model.parameters(), 1e-2)


def loop_of(batches, loss, call=lambda model, x: model(x)):
    def train(model, optimizer, n_steps):
        model.train()
        done = 0
        while done < n_steps:
            for x, y in batches:
                optimizer.zero_grad()
                loss(call(model, x), y).backward()
                optimizer.step()
                done += 1
                if done == n_steps:
                    return

    return train


def program(model, loss, *tensors, optimizer=adam, train=True, **more) -> dict[str, Any]:
    batches = loader(*tensors)
    found = {"model": model, "loss": loss, "loader": batches, "optimizer": optimizer, **more}
    if train:
        found["train"] = loop_of(batches, loss)
    return found


def mlp(out=3, hidden=16):
    return nn.Sequential(nn.Linear(12, hidden), nn.ReLU(), nn.Linear(hidden, out))


def cnn(norm):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), norm(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(8 * 16, 2),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.na, self.nb = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        nn.init.zeros_(self.nb.weight)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        h = self.stem(x)
        h = F.relu(h + self.nb(self.b(F.relu(self.na(self.a(h))))))
        return self.head(h.mean((2, 3)))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Transformer(nn.Module):
    """A causal language model with tied weights."""

    def __init__(self, tied=True):
        super().__init__()
        self.emb = nn.Embedding(17, 16)
        self.pos = nn.Parameter(torch.zeros(12, 16))
        block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.1)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 17, bias=False)
        if tied:
            self.head.weight = self.emb.weight

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        h = self.blocks(self.emb(x) + self.pos[: x.shape[1]], mask=mask, is_causal=True)
        return self.head(h)


def token_loss(output, target):
    return F.cross_entropy(output.flatten(0, 1), target.flatten())


def masked_loss(output, target):
    return F.cross_entropy(output.flatten(0, 1), target.flatten(), ignore_index=-100)


def shift_inside(output, target):
    return F.cross_entropy(output[:, :-1].flatten(0, 1), target[:, 1:].flatten())


class CharRnn(nn.Module):
    """Time first, as the word language model of pytorch/examples has it."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(17, 8)
        self.rnn = nn.GRU(8, 16)
        self.head = nn.Linear(16, 17)

    def forward(self, x):
        return self.head(self.rnn(self.emb(x))[0]).view(-1, 17)


class Bidirectional(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(17, 8)
        self.rnn = nn.LSTM(8, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 17)

    def forward(self, x):
        return self.head(self.rnn(self.emb(x))[0])


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.Linear(12, 8), nn.Linear(4, 12)

    def forward(self, x):
        mu, logvar = self.enc(x).chunk(2, -1)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.dec(z), mu, logvar


def elbo(output, x):
    made, mu, logvar = output
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(-1).mean()
    return F.mse_loss(made, x) + 0.1 * kl


class Lora(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(12, 16).requires_grad_(False)
        self.A, self.B = nn.Parameter(torch.randn(2, 12)), nn.Parameter(torch.zeros(16, 2))

    def forward(self, x):
        return self.base(x) + x @ self.A.T @ self.B.T


def lora():
    last = nn.Linear(16, 3).requires_grad_(False)
    return nn.Sequential(Lora(), nn.ReLU(), last)


class Experts(nn.Module):
    """Top-1 of eight experts; with few examples some are never chosen."""

    def __init__(self, sparse=True):
        super().__init__()
        self.gate = nn.Linear(12, 8)
        self.experts = nn.ModuleList(nn.Linear(12, 3) for _ in range(8))
        self.sparse = sparse
        with torch.no_grad():
            self.gate.bias[0] = -50.0

    def forward(self, x):
        gates = self.gate(x).softmax(-1)
        best = gates.argmax(-1)
        out = x.new_zeros(len(x), 3)
        for n, expert in enumerate(self.experts):
            chosen = best == n
            if not self.sparse:
                out = out + expert(x) * (gates[:, n] * chosen)[:, None]
            elif chosen.any():
                out[chosen] = expert(x[chosen]) * gates[chosen, n][:, None]
        return out


class Probe(nn.Module):
    def __init__(self, under_no_grad=False):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(12, 16), nn.ReLU())
        self.backbone.requires_grad_(under_no_grad)
        self.under_no_grad = under_no_grad
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        with torch.set_grad_enabled(not self.under_no_grad and torch.is_grad_enabled()):
            h = self.backbone(x)
        return self.head(h)


class Byol(nn.Module):
    """A target network that follows by hand, and is held in the model."""

    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8))
        self.predictor = nn.Linear(8, 8)
        self.target = copy.deepcopy(self.online)

    def forward(self, x):
        with torch.no_grad():
            goal = self.target(x)
        return self.predictor(self.online(x)), goal

    def follow(self):
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.online.parameters(), strict=True):
                slow.lerp_(fast, 0.05)


def byol_loss(output, target):
    return -F.cosine_similarity(output[0], output[1]).mean()


def byol_train(batches):
    def train(model, optimizer, n_steps):
        done = 0
        while done < n_steps:
            for x, y in batches:
                optimizer.zero_grad()
                byol_loss(model(x), y).backward()
                optimizer.step()
                model.follow()
                done += 1

    return train


class Clip(nn.Module):
    """Similarities of all pairs: every row compares the whole batch."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(6, 8), nn.Linear(6, 8)

    def forward(self, x):
        a, b = self.one(x[:, :6]), self.other(x[:, 6:])
        return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / 0.1


def clip_loss(output, target):
    return F.cross_entropy(output, torch.arange(len(output)))


class OwnNorm(nn.Module):
    """Batch norm by hand."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(12, 16), nn.Linear(16, 3)
        self.register_buffer("mean", torch.zeros(16))

    def forward(self, x):
        h = self.a(x)
        if self.training:
            mean = h.mean(0)
            self.mean.lerp_(mean.detach(), 0.1)
        else:
            mean = self.mean
        return self.b(F.relu(h - mean))


class Auxiliary(nn.Module):
    """A projection that the loss does not use, and a head for eval mode alone."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.projection = mlp(8), nn.Linear(8, 3), nn.Linear(8, 4)
        self.scale = nn.Linear(3, 3)

    def forward(self, x):
        h = self.body(x)
        out = self.head(h)
        return (out if self.training else self.scale(out)), self.projection(h)


class Ctc(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 6)

    def forward(self, x):
        return self.head(x).transpose(0, 1).log_softmax(-1)  # (T, N, C)


def ctc_loss(output, target):
    t, n, _ = output.shape
    return F.ctc_loss(output, target, torch.full((n,), t), torch.full((n,), target.shape[1]))


class OwnLoss(nn.Module):
    """Returns its loss, as HuggingFace models do, and shifts inside."""

    def __init__(self):
        super().__init__()
        self.lm = Transformer()

    def forward(self, input_ids, labels=None):
        logits = self.lm(input_ids)
        loss = shift_inside(logits, labels) if labels is not None else None
        return {"loss": loss, "logits": logits}


class Teacher(nn.Module):
    """A frozen teacher hidden in a list, so that it is not saved."""

    def __init__(self):
        super().__init__()
        self.student = mlp()
        self.teacher = [mlp().requires_grad_(False)]

    def forward(self, x):
        return self.student(x) + 0.0 * self.teacher[0](x)


class Straight(nn.Module):
    """Rounds, with a straight-through gradient."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(12, 16), nn.Linear(16, 3)

    def forward(self, x):
        h = torch.sigmoid(self.a(x))
        return self.b(h + (h.round() - h).detach())


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return -g


class Domain(nn.Module):
    """A reversed gradient, on purpose."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.domain = mlp(8), nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x):
        h = self.body(x)
        return self.head(h) + 0.1 * self.domain(Reverse.apply(h))


def nll(output, target):
    return F.gaussian_nll_loss(output[:, :1], target, output[:, 1:].exp())


def time_major():
    streams = torch.randint(0, 17, (40, 6), generator=torch.Generator().manual_seed(1))
    return [(streams[i : i + 8], streams[i + 1 : i + 9].reshape(-1)) for i in (0, 8, 16, 24)]


def probe_optimizer(model):
    return torch.optim.Adam(model.head.parameters(), 1e-2)


def byol():
    batches = loader(X, CLASSES)
    return {
        "model": Byol, "loss": byol_loss, "loader": batches, "optimizer": adam,
        "train": byol_train(batches),
    }  # fmt: skip


def own_loss():
    rows = [{"input_ids": t, "labels": t.clone()} for t in TEXT[:, :12]]
    return {"model": OwnLoss, "loader": loader_of(rows), "optimizer": adam}


def echo():
    delayed = torch.cat([torch.zeros(64, 3, dtype=torch.long), TEXT[:, :-3]], 1)
    return program(lambda: Transformer(False), token_loss, TEXT[:, :12], delayed[:, :12])


CE = F.cross_entropy
CLEAN: dict[str, Callable[[], dict[str, Any]]] = {
    "mlp": lambda: program(mlp, CE, X, CLASSES),
    "no loop": lambda: program(mlp, CE, X, CLASSES, train=False),
    "module": lambda: program(mlp(), CE, X, CLASSES),
    "cnn bn": lambda: program(lambda: cnn(nn.BatchNorm2d), CE, IMAGES, DIGITS),
    "cnn gn": lambda: program(lambda: cnn(lambda n: nn.GroupNorm(2, n)), CE, IMAGES, DIGITS),
    "resnet": lambda: program(Residual, CE, IMAGES, DIGITS),
    "lstm": lambda: program(Lstm, CE, SERIES, DIGITS),
    "transformer": lambda: program(Transformer, token_loss, TEXT[:, :-1], TEXT[:, 1:]),
    "untied": lambda: program(
        lambda: Transformer(False), token_loss, TEXT[:, :-1], TEXT[:, 1:]
    ),
    "shift inside": lambda: program(
        Transformer, shift_inside, TEXT[:, :12], TEXT[:, :12].clone()
    ),
    "own loss": own_loss,
    "char rnn": lambda: {
        "model": CharRnn, "loss": CE, "loader": time_major(), "optimizer": adam,
        "train": loop_of(time_major(), CE),
    },
    "echo": echo,
    "masked": lambda: program(
        lambda: Transformer(False), masked_loss, TEXT[:, :12].where(MASK == 0, 16),
        TEXT[:, :12].where(MASK == 1, -100),
    ),
    "text autoencoder": lambda: program(Bidirectional, token_loss, TEXT[:, :12], TEXT[:, :12]),
    "autoencoder": lambda: program(lambda: mlp(12, 4), F.mse_loss, X, X.clone()),
    "vae": lambda: program(Vae, elbo, X, X.clone()),
    "regression": lambda: program(lambda: mlp(1), F.mse_loss, X, REAL),
    "huber sgd": lambda: program(
        lambda: mlp(1), F.huber_loss, X, REAL,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.05, 0.9, weight_decay=1e-3),
    ),
    "multi-label": lambda: program(
        lambda: mlp(5), F.binary_cross_entropy_with_logits, X, BITS
    ),
    "imbalanced": lambda: program(
        lambda: mlp(1),
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0])), X, (X[:, :1] > 1.4).float(),
    ),
    "sum loss": lambda: program(mlp, nn.CrossEntropyLoss(reduction="sum"), X, CLASSES),
    "smoothing": lambda: program(mlp, nn.CrossEntropyLoss(label_smoothing=0.1), X, CLASSES),
    "gaussian nll": lambda: program(lambda: mlp(2), nll, X, REAL),
    "lora": lambda: program(lora, CE, X, CLASSES),
    "lora filtered": lambda: program(
        lora, CE, X, CLASSES,
        optimizer=lambda m: torch.optim.AdamW([p for p in m.parameters() if p.requires_grad]),
    ),
    "experts": lambda: program(Experts, CE, X, CLASSES),
    "experts dense": lambda: program(lambda: Experts(False), CE, X, CLASSES),
    "frozen backbone": lambda: program(
        Probe, CE, X, CLASSES,
        optimizer=lambda m: torch.optim.Adam([p for p in m.parameters() if p.requires_grad]),
    ),
    "probe": lambda: program(Probe, CE, X, CLASSES, optimizer=probe_optimizer),
    "probe no_grad": lambda: program(
        lambda: Probe(True), CE, X, CLASSES, optimizer=probe_optimizer
    ),
    "pretrained": lambda: program(Probe, CE, X, CLASSES, pretrained=True),
    "byol": byol,
    "clip": lambda: program(Clip, clip_loss, X, CLASSES),
    "own norm": lambda: program(OwnNorm, CE, X, CLASSES),
    "auxiliary": lambda: program(
        Auxiliary, lambda output, y: F.cross_entropy(output[0], y), X, CLASSES
    ),
    "ctc": lambda: program(Ctc, ctc_loss, SERIES, TEXT[:, :3] % 5 + 1),
    "teacher": lambda: program(Teacher, CE, X, CLASSES),
    "straight-through": lambda: program(Straight, CE, X, CLASSES),
    "reversal": lambda: program(Domain, CE, X, CLASSES),
    "weight norm": lambda: program(
        lambda: nn.Sequential(weight_norm(nn.Linear(12, 16)), nn.Tanh(), nn.Linear(16, 3)),
        CE, X, CLASSES,
    ),
    "spectral norm": lambda: program(
        lambda: nn.Sequential(spectral_norm(nn.Linear(12, 16)), nn.ReLU(), nn.Linear(16, 3)),
        CE, X, CLASSES,
    ),
    "zero head": lambda: program(zero_head, CE, X, CLASSES),
    "one batch": lambda: {"model": mlp, "loss": CE, "loader": [(X, CLASSES)], "optimizer": adam},
}  # fmt: skip


def zero_head():
    model = mlp()
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    return model
