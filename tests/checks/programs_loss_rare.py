"""More programs that are as they should be: objectives that look like mistakes, and are none."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.checks.programs_loss import (
    BINARY,
    CLASS,
    IMAGE_CLASS,
    IMAGES,
    TOKENS,
    VALUE,
    Language,
    Variational,
    X,
    adam,
    mlp,
    parts,
    sequence,
)


class Two(nn.Module):
    """Scores of classes and one more number."""

    def __init__(self, turn=lambda h: h):
        super().__init__()
        self.body, self.turn = nn.Linear(12, 32), turn
        self.scores, self.number = nn.Linear(32, 5), nn.Linear(32, 1)

    def forward(self, x):
        h = F.relu(self.body(x))
        return self.scores(h), self.number(self.turn(h))


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -grad


class Angles(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.proxies = nn.Linear(12, 16), nn.Parameter(torch.randn(5, 16))

    def forward(self, x):
        return F.normalize(self.body(x), dim=1) @ F.normalize(self.proxies, dim=1).T


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.norm, self.two = (
            nn.Conv2d(1, 8, 3, 1, 1),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 3, 1),
        )

    def forward(self, x):
        return self.two(F.relu(self.norm(self.one(x))))


class Named(Variational):
    def forward(self, x):
        made, mean, log_var = super().forward(x)
        return {"made": made, "mean": mean, "log_var": log_var}


class Flow(nn.Module):
    """A coupling that starts as the identity."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 12)
        nn.init.zeros_(self.body.weight)
        nn.init.zeros_(self.body.bias)

    def forward(self, x):
        one, two = x.chunk(2, 1)
        log_scale, shift = self.body(one).chunk(2, 1)
        return torch.cat([one, two * log_scale.exp() + shift], 1), log_scale.sum(1)


class Tied(nn.Module):
    """The embedding, as torch initialises it, is the output layer too."""

    def __init__(self):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(17, 32), nn.LSTM(32, 32, batch_first=True)
        self.head = nn.Linear(32, 17)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0])


class Slope(nn.Module):
    """A function and its derivative by the input."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        x = x.requires_grad_()
        value = self.body(x)
        [slope] = torch.autograd.grad(value.sum(), x, create_graph=True)
        return torch.cat([value, slope], 1)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Language()

    def forward(self, input_ids, labels):
        logits = self.body(input_ids)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return {"loss": loss, "logits": logits}


def both(o, y):
    return F.cross_entropy(o[0], y) + 0.5 * F.mse_loss(o[1].squeeze(1), 0.3 * y.float())


def domains(o, y):
    other = F.binary_cross_entropy_with_logits(o[1].squeeze(1), (y > 2).float())
    return F.cross_entropy(o[0], y) + 0.1 * other


def angular(o, y):
    angle = torch.acos(o.clamp(-1 + 1e-6, 1 - 1e-6))
    return F.cross_entropy(30 * torch.cos(angle + 0.3 * F.one_hot(y, 5)), y)


def policy(o, y):
    action = torch.distributions.Categorical(logits=o).sample()
    log_p = F.log_softmax(o, 1).gather(1, action[:, None]).squeeze(1)
    return -(log_p * ((action == y).float() - 0.2)).mean()


def with_entropy(o, y):
    p = F.softmax(o, 1)
    return F.cross_entropy(o, y) + 0.1 * (p * p.clamp_min(1e-9).log()).sum(1).mean()


def mixture(o, y):
    weight, mean, log_sd = o.chunk(3, 1)
    parts_ = F.log_softmax(weight, 1) - log_sd - 0.5 * ((y - mean) / log_sd.exp()) ** 2
    return -torch.logsumexp(parts_, 1).mean()


def partial_likelihood(o, y):
    risk = o.squeeze(1)[y[:, 0].argsort(descending=True)]
    return -(risk - torch.logcumsumexp(risk, 0)).mean()


def overlap(o, y):
    known = y != 255
    p, of_class = o.softmax(1), F.one_hot(y.clamp(max=2), 3).movedim(-1, 1) * known[:, None]
    share = (2 * (p * of_class).sum() + 1) / ((p * known[:, None]).sum() + of_class.sum() + 1)
    return F.cross_entropy(o, y, ignore_index=255) + 1 - share


def named_elbo(o, x):
    spread = (1 + o["log_var"] - o["mean"] ** 2 - o["log_var"].exp()).sum()
    return (F.mse_loss(o["made"], x, reduction="sum") - 0.5 * spread) / len(x)


def physics(o, _):
    return ((o[:, 1:] + o[:, :1]) ** 2).mean() + ((o[:1, 0] - 1) ** 2).mean()


def critic(o, y):
    return o[y == 0].mean() - o[y != 0].mean()


def teacher(o, y):
    soft = F.softmax(o.detach() * 2, 1)
    return F.cross_entropy(o, y) + F.kl_div(F.log_softmax(o, 1), soft, reduction="batchmean")


def ordinal(o, y):
    return F.binary_cross_entropy_with_logits(o, (y[:, None] > torch.arange(4)).float())


def one_hot_squares(o, y):
    return F.mse_loss(o.softmax(1), F.one_hot(y, 5).float())


def noise_ratio(o, y):
    return 10 * torch.log10(F.mse_loss(o, y.flatten(1)))


def pairs(o, y):
    higher = torch.sign(y[::2] - y[1::2]).float()
    return F.margin_ranking_loss(o[::2, 0], o[1::2, 0], higher, margin=0.1)


def half(o, y):
    return F.cross_entropy(o.float(), y)


def accumulating(model, optimizer, n_steps):
    for _ in range(n_steps):
        for n in range(0, 64, 16):
            (F.cross_entropy(model(X[n : n + 16]), CLASS[n : n + 16]) / 4).backward()
        optimizer.step()
        optimizer.zero_grad()


def mixed_precision(model, optimizer, n_steps):
    for _ in range(n_steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(model(X), CLASS)
        loss.backward()
        optimizer.step()


def closures(model):
    return torch.optim.LBFGS(model.parameters())


LABELS = (IMAGES.squeeze(1) * 3).long().clamp(0, 2)
LABELS[:, :2] = 255
HIDDEN = torch.where(torch.rand(64, 10, generator=torch.Generator().manual_seed(6)) < 0.3, 1, 0)
MASKED, ANSWERS = TOKENS[:, :-1].clone(), TOKENS[:, :-1].clone()
MASKED[HIDDEN == 1] = 16
ANSWERS[HIDDEN == 0] = -100
OWN = [{"input_ids": TOKENS[i : i + 16], "labels": TOKENS[i : i + 16]} for i in range(0, 64, 16)]


def flat_images():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Sigmoid())


RARE = {
    "two outputs": parts(Two, both, X, CLASS),
    "reversed gradient": parts(lambda: Two(Reversed.apply), domains, X, CLASS),
    "angular margin": parts(Angles, angular, X, CLASS),
    "policy gradient": parts(mlp(), policy, X, CLASS),
    "entropy bonus": parts(mlp(), with_entropy, X, CLASS),
    "mixture density": parts(mlp(9), mixture, X, VALUE),
    "partial likelihood": parts(mlp(1), partial_likelihood, X, VALUE),
    "segmentation": parts(Dense, nn.CrossEntropyLoss(ignore_index=255), IMAGES, LABELS),
    "overlap": parts(Dense, overlap, IMAGES, LABELS),
    "masked language": parts(Language, sequence, MASKED, ANSWERS),
    "own loss": {"model": Own, "loader": OWN, "optimizer": adam},
    "named outputs": parts(Named, named_elbo, IMAGES, IMAGES),
    "flow": parts(Flow, lambda o, _: (0.5 * o[0].pow(2).sum(1) - o[1]).mean(), X, X),
    "tied as torch starts it": parts(Tied, sequence, TOKENS[:, :-1], TOKENS[:, 1:]),
    "physics": parts(Slope, physics, X[:, :1].clone(), X[:, :1].clone()),
    "critic": parts(mlp(1), critic, X, CLASS),
    "teacher": parts(mlp(), teacher, X, CLASS),
    "ordinal": parts(mlp(4), ordinal, X, CLASS),
    "one-hot squares": parts(mlp(), one_hot_squares, X, CLASS),
    "noise ratio": parts(flat_images, noise_ratio, IMAGES, IMAGES),
    "ranked pairs": parts(mlp(1), pairs, X, CLASS),
    "bfloat16": parts(lambda: mlp()().bfloat16(), half, X.bfloat16(), CLASS),
    "double": parts(lambda: mlp(1)().double(), F.mse_loss, X.double(), VALUE.double()),
    "closures": parts(mlp(), F.cross_entropy, X, CLASS, optimizer=closures, train=None),
    "as many examples as classes": parts(mlp(16), F.cross_entropy, X, torch.arange(128) % 16),
    "small targets": parts(mlp(1), F.mse_loss, X, 0.05 * VALUE),
    "accumulation": parts(mlp(), F.cross_entropy, X, CLASS, train=accumulating),
    "mixed precision": parts(mlp(), F.cross_entropy, X, CLASS, train=mixed_precision),
    "bounded hidden units": parts(
        lambda: nn.Sequential(nn.Linear(12, 32), nn.ReLU6(), nn.Linear(32, 4)),
        F.cross_entropy,
        IMAGES.flatten(1)[:, :12],
        IMAGE_CLASS,
    ),
    "one number each": parts(
        lambda: nn.Sequential(nn.Linear(12, 1), nn.Flatten(0)),
        F.binary_cross_entropy_with_logits,
        X,
        BINARY[:, 0],
    ),
}
"""Name -> the parts of a subject."""
