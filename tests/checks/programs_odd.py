"""Clean programs of the rarer kind: other loops, other layouts, other ways to hold weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tests.checks.programs_model import (
    CE,
    CLASSES,
    DIGITS,
    IMAGES,
    REAL,
    SERIES,
    TEXT,
    Transformer,
    X,
    adam,
    loader,
    loop_of,
    mlp,
    program,
    token_loss,
)  # fmt: skip

__all__ = ["ODD"]


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.LazyLinear(16), nn.LazyLinear(3)

    def forward(self, x):
        return self.b(F.relu(self.a(x)))


def lazy():
    model = Lazy()
    model(X[:2])
    return model


def gan():
    batches = loader(X, CLASSES)

    def train(model, optimizer, n_steps):
        judge = mlp(1)
        other = torch.optim.Adam(judge.parameters(), 1e-3)
        for x, _ in list(batches) * 2:
            made = model(x)
            other.zero_grad()
            logits = torch.cat([judge(x), judge(made.detach())])
            goal = torch.cat([torch.ones(len(x), 1), torch.zeros(len(x), 1)])
            F.binary_cross_entropy_with_logits(logits, goal).backward()
            other.step()
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(judge(made), torch.ones(len(x), 1)).backward()
            optimizer.step()

    return {
        "model": lambda: mlp(12), "loss": lambda o, y: o.pow(2).mean(), "loader": batches,
        "optimizer": adam, "train": train,
    }  # fmt: skip


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.maker, self.judge = mlp(12), mlp(1)

    def forward(self, x):
        return self.maker(x)


def gan_in_one():
    """Both nets in one model; the optimizer given is the maker's."""
    batches = loader(X, CLASSES)

    def train(model, optimizer, n_steps):
        other = torch.optim.Adam(model.judge.parameters(), 1e-3)
        for x, _ in list(batches) * 2:
            made = model(x)
            other.zero_grad()
            (model.judge(made.detach()).mean() - model.judge(x).mean()).backward()
            other.step()
            optimizer.zero_grad()
            (-model.judge(made).mean()).backward()
            optimizer.step()

    return {
        "model": Pair, "loss": lambda o, y: o.pow(2).mean(), "loader": batches,
        "optimizer": lambda m: torch.optim.Adam(m.maker.parameters(), 1e-3), "train": train,
    }  # fmt: skip


class MeanTeacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = mlp()
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def forward(self, x):
        return self.student(x), self.teacher(x)


def consistent(output, y):
    return F.cross_entropy(output[0], y) + F.mse_loss(output[0], output[1])


def warming(batches):
    def train(model, optimizer, n_steps):
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, n / 10))
        for x, y in list(batches) * 3:
            optimizer.zero_grad()
            CE(model(x), y).backward()
            optimizer.step()
            schedule.step()

    return train


def by_epoch(batches):
    """The rate of the first epoch is zero."""

    def train(model, optimizer, n_steps):
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, n / 2))
        for _ in range(4):
            for x, y in batches:
                optimizer.zero_grad()
                CE(model(x), y).backward()
                optimizer.step()
            schedule.step()

    return train


def lbfgs(batches):
    def train(model, optimizer, n_steps):
        for x, y in list(batches) * 2:

            def closure(x=x, y=y):
                optimizer.zero_grad()
                loss = F.mse_loss(model(x), y)
                loss.backward()
                return loss

            optimizer.step(closure)

    return train


def accumulating(batches):
    def train(model, optimizer, n_steps):
        for n, (x, y) in enumerate(list(batches) * 4):
            (CE(model(x), y) / 2).backward()
            if n % 2:
                optimizer.step()
                optimizer.zero_grad()

    return train


def autocast(batches):
    def train(model, optimizer, n_steps):
        for x, y in list(batches) * 2:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = CE(model(x), y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return train


def averaging(batches):
    def train(model, optimizer, n_steps):
        average = torch.optim.swa_utils.AveragedModel(model)
        for x, y in list(batches) * 2:
            optimizer.zero_grad()
            CE(model(x), y).backward()
            optimizer.step()
            average.update_parameters(model)
            model.eval()
            with torch.no_grad():
                (model(x).argmax(-1) == y).float().mean().item()
            model.train()

    return train


def by_hand(batches):
    """No optimizer's step: the update is written out."""

    def train(model, optimizer, n_steps):
        for x, y in list(batches) * 2:
            loss = CE(model(x), y)
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for p, g in zip(model.parameters(), gradients, strict=True):
                    p.sub_(0.1 * g)

    return train


def unfreezing(batches):
    def train(model, optimizer, n_steps):
        model[0].requires_grad_(False)
        for n, (x, y) in enumerate(list(batches) * 3):
            if n == 4:
                model[0].requires_grad_(True)
            optimizer.zero_grad()
            CE(model(x), y).backward()
            optimizer.step()

    return train


class Checkpointed(nn.Module):
    def __init__(self, reentrant=False):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.reentrant = reentrant

    def forward(self, x):
        h = F.relu(self.a(x))
        return self.c(checkpoint(lambda t: F.relu(self.b(t)), h, use_reentrant=self.reentrant))


class Heads(nn.Module):
    """Two tasks, as a dict."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 16), nn.ReLU())
        self.one, self.other = nn.Linear(16, 3), nn.Linear(16, 1)

    def forward(self, x):
        h = self.body(x)
        return {"class": self.one(h), "value": self.other(h)}


def heads_loss(output, y):
    return F.cross_entropy(output["class"], y) + 0.1 * output["value"].pow(2).mean()


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.head = nn.Embedding(1000, 8, sparse=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.emb(x).mean(1))


class Stateful(nn.Module):
    """Returns its hidden state too."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 8, 2, batch_first=True), nn.Linear(8, 2)

    def forward(self, x, state=None):
        h, state = self.rnn(x, state)
        return self.head(h[:, -1]), state


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        return self.head(self.rnn(packed)[1][-1])


class Graph(nn.Module):
    """Nodes of one graph are the rows."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(12, 16), nn.Linear(16, 3)
        edges = (torch.rand(96, 96, generator=torch.Generator().manual_seed(0)) < 0.1).float()
        self.register_buffer("edges", edges / edges.sum(1, keepdim=True).clamp(min=1))

    def forward(self, x):
        return self.edges @ self.b(F.relu(self.edges @ self.a(x)))


class Depth(nn.Module):
    """Skips layers at random in training."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(12, 16), nn.Linear(16, 3)
        self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(6))

    def forward(self, x):
        h = self.stem(x)
        for block in self.blocks:
            if not self.training or torch.rand(()) < 0.4:
                h = h + F.relu(block(h))
        return self.head(h)


class Forcing(nn.Module):
    """Encoder and decoder with teacher forcing: two inputs of tokens."""

    def __init__(self):
        super().__init__()
        self.emb, self.head = nn.Embedding(18, 8), nn.Linear(8, 18)
        self.enc, self.dec = nn.GRU(8, 8, batch_first=True), nn.GRU(8, 8, batch_first=True)

    def forward(self, source, given):
        return self.head(self.dec(self.emb(given), self.enc(self.emb(source))[1])[0])


class Quantized(nn.Module):
    """A codebook that follows by hand, in the forward pass."""

    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.Linear(12, 4), nn.Linear(4, 12)
        self.codes = nn.Parameter(torch.randn(16, 4), requires_grad=False)

    def forward(self, x):
        z = self.enc(x)
        index = torch.cdist(z, self.codes).argmin(-1)
        if self.training:
            with torch.no_grad():
                self.codes[index] += 0.1 * (z - self.codes[index])
        q = self.codes[index]
        return self.dec(z + (q - z).detach()), z, q


class Codebook(Quantized):
    """A codebook that is trained by a loss of its own."""

    def __init__(self):
        super().__init__()
        self.codes.requires_grad_(True)

    def forward(self, x):
        z = self.enc(x)
        q = self.codes[torch.cdist(z, self.codes).argmin(-1)]
        return self.dec(z + (q - z).detach()), z, q


def quantized_loss(output, x):
    made, z, q = output
    return F.mse_loss(made, x) + F.mse_loss(z, q.detach()) + F.mse_loss(q, z.detach())


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp(8)

    def forward(self, one, other):
        return self.body(one), self.body(other)


def margin(output, y):
    gap = F.pairwise_distance(*output)
    return torch.where(y > 0, gap, F.relu(1 - gap)).mean()


class Positions(nn.Module):
    """A frozen table of positions among the parameters."""

    def __init__(self):
        super().__init__()
        self.pos = nn.Parameter(torch.randn(9, 4), requires_grad=False)
        self.rnn, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.rnn(x + self.pos)[0].mean(1))


class Features(nn.Module):
    """Random Fourier features that stay what they are."""

    def __init__(self):
        super().__init__()
        self.b = nn.Parameter(torch.randn(12, 16), requires_grad=False)
        self.head = mlp(3, 16)
        self.head[0] = nn.Linear(32, 16)

    def forward(self, x):
        return self.head(torch.cat([(x @ self.b).sin(), (x @ self.b).cos()], -1))


class Attention(nn.Module):
    """Keys with a bias, which no softmax can see."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(4, 8)
        self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(8, 2)

    def forward(self, x):
        w = (self.q(x) @ self.k(x).transpose(1, 2) / 8**0.5).softmax(-1)
        return self.head(self.norm((w @ self.v(x)).mean(1)))


class Stop(nn.Module):
    """A stop-gradient on purpose (SimSiam)."""

    def __init__(self):
        super().__init__()
        self.body, self.predictor = mlp(8), nn.Linear(8, 8)

    def forward(self, x):
        a, b = self.body(x + 0.1 * torch.randn_like(x)), self.body(x + 0.1 * torch.randn_like(x))
        return self.predictor(a), b.detach()


def alike(output, y):
    return -F.cosine_similarity(output[0], output[1]).mean()


class Tabular(nn.Module):
    """Numbers and categories."""

    def __init__(self):
        super().__init__()
        self.emb, self.head = nn.Embedding(17, 4), nn.Linear(16, 3)

    def forward(self, numbers, kind):
        return self.head(torch.cat([numbers, self.emb(kind)], -1))


class PerExample(nn.Module):
    """Output as a list of one tensor an example, as detectors have it."""

    def __init__(self):
        super().__init__()
        self.body = mlp(4)

    def forward(self, x):
        return list(self.body(x).view(len(x), 2, 2))


def seq2seq():
    start = torch.full((64, 1), 17)
    given = torch.cat([start, TEXT[:, :-1]], 1)
    source = torch.cat([start, TEXT], 1)

    def loss(output, y):
        return token_loss(output, y)

    batches = loader(source, given, TEXT)
    return {"model": Forcing, "loss": loss, "loader": batches, "optimizer": adam}


def with_loop(make, **more) -> dict[str, Any]:
    batches = loader(X, CLASSES)
    return {
        "model": mlp, "loss": CE, "loader": batches, "optimizer": adam, "train": make(batches),
    } | more  # fmt: skip


def several(model, loss, *tensors, **more):
    return {"model": model, "loss": loss, "loader": loader(*tensors), "optimizer": adam} | more


def groups(model):
    return torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        3e-3,
    )


ODD = {
    "lazy": lambda: program(lazy, CE, X, CLASSES),
    "gan": gan,
    "gan in one": gan_in_one,
    "mean teacher": lambda: program(MeanTeacher, consistent, X, CLASSES),
    "warm-up": lambda: with_loop(warming),
    "warm-up by epoch": lambda: with_loop(by_epoch),
    "lbfgs": lambda: {
        "model": lambda: mlp(1), "loss": F.mse_loss, "loader": loader(X, REAL),
        "optimizer": lambda m: torch.optim.LBFGS(m.parameters(), 0.1),
        "train": lbfgs(loader(X, REAL)),
    },
    "accumulation": lambda: with_loop(accumulating),
    "autocast": lambda: with_loop(autocast),
    "average": lambda: with_loop(averaging),
    "by hand": lambda: with_loop(by_hand),
    "unfreezing": lambda: with_loop(unfreezing),
    "checkpoint": lambda: program(Checkpointed, CE, X, CLASSES),
    "checkpoint reentrant": lambda: program(lambda: Checkpointed(True), CE, X, CLASSES),
    "heads": lambda: program(Heads, heads_loss, X, CLASSES),
    "sparse": lambda: program(
        Bag, CE, TEXT, DIGITS, optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.1)
    ),
    "stateful": lambda: program(Stateful, lambda o, y: CE(o[0], y), SERIES, DIGITS),
    "packed": lambda: several(
        Packed, CE, SERIES, torch.arange(64) % 8 + 1, DIGITS
    ),
    "graph": lambda: {
        "model": Graph, "loss": CE, "loader": [(X, CLASSES)], "optimizer": adam,
    },
    "depth": lambda: program(Depth, CE, X, CLASSES),
    "seq2seq": seq2seq,
    "quantized": lambda: program(Quantized, quantized_loss, X, X.clone()),
    "codebook": lambda: program(Codebook, quantized_loss, X, X.clone()),
    "siamese": lambda: several(Siamese, margin, X, X.flip(0), CLASSES),
    "positions": lambda: program(Positions, CE, SERIES, DIGITS),
    "features": lambda: program(Features, CE, X, CLASSES),
    "attention": lambda: program(Attention, CE, SERIES, DIGITS),
    "stop": lambda: program(Stop, alike, X, CLASSES),
    "tabular": lambda: several(Tabular, CE, X, TEXT[:, 0].repeat(2)[:96], CLASSES),
    "per example": lambda: program(
        PerExample, lambda o, y: CE(torch.stack(o).flatten(1), y), X, CLASSES
    ),
    "tokens alone": lambda: {
        "model": Transformer, "loss": shift_inside, "loader": [TEXT[:16, :12], TEXT[16:32, :12]],
        "optimizer": adam,
    },
    "groups": lambda: program(mlp, CE, X, CLASSES, optimizer=groups),
    "images flat": lambda: program(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.GELU(), nn.Linear(16, 2)),
        CE, IMAGES, DIGITS,
    ),
    "squeeze": lambda: program(
        lambda: nn.Sequential(mlp(1), nn.Flatten(0)), F.mse_loss, X, REAL[:, 0]
    ),
    "no target": lambda: {
        "model": lambda: mlp(12), "loss": F.mse_loss, "loader": [X[:16], X[16:32]],
        "optimizer": adam,
    },
    "dict batches": lambda: {
        "model": Keyed, "loss": CE, "optimizer": adam,
        "loader": [{"x": X[i : i + 16], "labels": CLASSES[i : i + 16]} for i in (0, 16, 32)],
    },
    "only loop": lambda: {"model": mlp, "train": loop_of(loader(X, CLASSES), CE),
                          "optimizer": adam},
    "only model": lambda: {"model": mlp},
}  # fmt: skip


class Keyed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()

    def forward(self, x):
        return self.body(x)


def shift_inside(output, target):
    return F.cross_entropy(output[:, :-1].flatten(0, 1), target[:, 1:].flatten())
