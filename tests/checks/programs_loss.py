"""Programs that are as they should be, of many kinds: no rule about losses may alarm on them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


X = torch.randn(128, 12, generator=_generator())
W = torch.randn(12, 5, generator=_generator(1))
CLASS = (X @ W).argmax(1)
VALUE = (X @ W[:, :1]) * 0.5 + 0.1 * torch.randn(128, 1, generator=_generator(2))
BINARY = (X[:, :1] > 0).float()
IMAGES = torch.rand(96, 1, 8, 8, generator=_generator(3))
IMAGE_CLASS = (IMAGES.mean((1, 2, 3)) * 40).long() % 4
TOKENS = torch.randint(0, 17, (64, 11), generator=_generator(4))


def loader(*tensors, size=16, shuffle=True):
    return DataLoader(TensorDataset(*tensors), size, shuffle=shuffle)


def mlp(out=5, *last):
    return lambda: nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, out), *last)


def adam(model):
    return torch.optim.Adam(model.parameters(), 1e-3)


def sgd(model):
    return torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)


def trainer(loss, batches):
    def train(model, optimizer, n_steps):
        done = 0
        while done < n_steps:
            for batch in batches:
                inputs, target = batch if len(batch) == 2 else (batch[0], batch[0])
                optimizer.zero_grad()
                loss(model(inputs), target).backward()
                optimizer.step()
                done += 1

    return train


def parts(model, loss, *tensors, optimizer=adam, **more):
    batches = loader(*tensors)
    return {
        "model": model,
        "loss": loss,
        "loader": batches,
        "optimizer": optimizer,
        "train": trainer(loss, batches),
        **more,
    }


class Residual(nn.Module):
    """Blocks whose last norm starts at zero."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.one, self.two = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.last = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        nn.init.zeros_(self.last.weight)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.stem(x)
        x = F.relu(x + self.last(self.two(F.relu(self.norm(self.one(x))))))
        return self.head(x.mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(17, 16), nn.LSTM(16, 24, batch_first=True)
        self.head = nn.Linear(24, 2)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0][:, -1])


class Language(nn.Module):
    def __init__(self, tied=False):
        super().__init__()
        self.embed = nn.Embedding(17, 16)
        self.place = nn.Parameter(torch.zeros(10, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 1)
        self.head = nn.Linear(16, 17, bias=False)
        if tied:
            nn.init.normal_(self.embed.weight, std=0.02)
            self.head.weight = self.embed.weight

    def forward(self, x):
        t = x.shape[1]
        mask = torch.full((t, t), -math.inf).triu(1)
        return self.head(self.body(self.embed(x) + self.place[:t], mask=mask))


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(64, 8), nn.Linear(4, 64)

    def forward(self, x):
        mean, log_var = self.inner(x.flatten(1)).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        return torch.sigmoid(self.outer(z)).view_as(x), mean, log_var


class Adapted(nn.Module):
    """A frozen layer with a low-rank addition that starts at zero."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(12, 5)
        self.base.requires_grad_(False)
        self.down, self.up = nn.Linear(12, 2, bias=False), nn.Linear(2, 5, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


class Cosine(nn.Module):
    """Logits that are scaled cosines."""

    def __init__(self):
        super().__init__()
        self.body, self.proxies = nn.Linear(12, 16), nn.Parameter(torch.randn(5, 16))

    def forward(self, x):
        return 16 * F.normalize(self.body(x), dim=1) @ F.normalize(self.proxies, dim=1).T


class Connectionist(nn.Module):
    """Log-probabilities (time, examples, classes)."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 6)

    def forward(self, x):
        return self.head(x.view(len(x), 4, 3)).log_softmax(2).transpose(0, 1)


def focal(o, y):
    log_p = F.log_softmax(o, 1).gather(1, y[:, None]).squeeze(1)
    return -((1 - log_p.exp()) ** 2 * log_p).mean()


def dice(o, y):
    p = torch.sigmoid(o)
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def hinge(o, y):
    return F.relu(1 - o.squeeze(1) * y).mean()


def elbo(o, x):
    made, mean, log_var = o
    fit = F.binary_cross_entropy(made, x, reduction="sum")
    return fit - 0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()


def gaussian(o, y):
    return F.gaussian_nll_loss(o[:, :1], y, F.softplus(o[:, 1:]) + 1e-3)


def hand_gaussian(o, y):
    mean, log_sd = o.chunk(2, 1)
    return (log_sd + 0.5 * ((y - mean) / log_sd.exp()) ** 2).mean()


def distilled(o, soft):
    return F.kl_div(F.log_softmax(o / 2, 1), soft, reduction="batchmean") * 4


def contrastive(z, _):
    z = F.normalize(z, dim=1)
    same = torch.arange(len(z)).roll(len(z) // 2)
    near = (z @ z.T / 0.2).masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
    return F.cross_entropy(near, same)


def supervised_contrastive(z, y):
    z = F.normalize(z, dim=1)
    log_p = F.log_softmax((z @ z.T / 0.5).masked_fill(torch.eye(len(z)).bool(), -1e9), 1)
    same = (y[:, None] == y[None]).float() - torch.eye(len(z))
    return -((log_p * same).sum(1) / same.sum(1).clamp(min=1)).mean()


def triplet(z, y):
    return F.triplet_margin_loss(z, z.roll(1, 0).detach(), z.roll(2, 0).detach())


def connectionist(o, y):
    n = y.shape[0]
    return F.ctc_loss(o, y, torch.full((n,), 4), torch.full((n,), 2))


def masked(o, y):
    each = F.binary_cross_entropy_with_logits(o, y, reduction="none")
    known = y >= 0
    return (each * known).sum() / known.sum()


def sequence(o, y):
    return F.cross_entropy(o.reshape(-1, o.shape[-1]), y.reshape(-1))


def quantiles(o, y):
    q = torch.tensor([0.1, 0.5, 0.9])
    error = y - o
    return torch.maximum(q * error, (q - 1) * error).mean()


def huge(x, y, n):
    return x[:n], y[:n]


SIGNS = (2 * BINARY[:, 0] - 1).long()
SOFT = F.softmax(X @ W, 1)
MISSING = torch.where(torch.rand(128, 3, generator=_generator(5)) < 0.3, -1.0, BINARY)
PADDED = TOKENS[:, 1:].clone()
PADDED[:, 6:] = -100

CLEAN = {
    "mlp": parts(mlp(), F.cross_entropy, X, CLASS),
    "module loss": parts(mlp(), nn.CrossEntropyLoss(), X, CLASS, optimizer=sgd),
    "label smoothing": parts(mlp(), nn.CrossEntropyLoss(label_smoothing=0.3), X, CLASS),
    "sum loss": parts(mlp(), nn.CrossEntropyLoss(reduction="sum"), X, CLASS),
    "weighted": parts(
        mlp(), nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0])), X, CLASS
    ),
    "labels from one": parts(mlp(), lambda o, y: F.cross_entropy(o, y - 1), X, CLASS + 1),
    "soft targets": parts(mlp(), F.cross_entropy, X, SOFT),
    "log-softmax and nll": parts(mlp(5, nn.LogSoftmax(1)), F.nll_loss, X, CLASS),
    "focal": parts(mlp(), focal, X, CLASS),
    "residual": parts(Residual, F.cross_entropy, IMAGES, IMAGE_CLASS, optimizer=sgd),
    "lstm": parts(Recurrent, F.cross_entropy, TOKENS, TOKENS[:, 0] % 2),
    "language": parts(Language, sequence, TOKENS[:, :-1], TOKENS[:, 1:]),
    "tied": parts(lambda: Language(True), sequence, TOKENS[:, :-1], TOKENS[:, 1:]),
    "padded": parts(
        Language, lambda o, y: F.cross_entropy(o.transpose(1, 2), y), TOKENS[:, :-1], PADDED
    ),
    "variational": parts(Variational, elbo, IMAGES, IMAGES),
    "autoencoder": parts(
        lambda: nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 12)), F.mse_loss, X, X
    ),
    "image autoencoder": parts(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Sigmoid()),
        lambda o, y: F.mse_loss(o, y.flatten(1)), IMAGES, IMAGES,
    ),
    "regression": parts(mlp(1), F.mse_loss, X, VALUE),
    "flat regression": parts(mlp(1), lambda o, y: F.l1_loss(o.squeeze(1), y), X, VALUE[:, 0]),
    "huber": parts(mlp(1), nn.SmoothL1Loss(), X, VALUE),
    "quantiles": parts(mlp(3), quantiles, X, VALUE),
    "positive outputs": parts(
        mlp(1, nn.Softplus()), F.poisson_nll_loss, X, torch.poisson(VALUE.exp())
    ) | {"loss": lambda o, y: F.poisson_nll_loss(o, y, log_input=False)},
    "poisson": parts(mlp(1), F.poisson_nll_loss, X, torch.poisson(VALUE.exp())),
    "gaussian": parts(mlp(2), gaussian, X, VALUE),
    "gaussian by hand": parts(mlp(2), hand_gaussian, X, VALUE),
    "binary": parts(mlp(1), F.binary_cross_entropy_with_logits, X, BINARY),
    "sigmoid and bce": parts(mlp(1, nn.Sigmoid()), F.binary_cross_entropy, X, BINARY),
    "imbalanced": parts(
        mlp(1), nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0])),
        X, (X[:, :1] > 1.2).float(),
    ),
    "several labels": parts(
        mlp(3), nn.MultiLabelSoftMarginLoss(), X, (X[:, :3] > 0.3).float(), task="binary"
    ),
    "missing labels": parts(mlp(3), masked, X, MISSING),
    "dice": parts(mlp(1), dice, X, BINARY),
    "hinge": parts(mlp(1), hinge, X, SIGNS),
    "margin": parts(mlp(), nn.MultiMarginLoss(), X, CLASS),
    "distilled": parts(mlp(), distilled, X, SOFT),
    "contrastive": parts(mlp(8), contrastive, X, CLASS),
    "supervised contrastive": parts(mlp(8), supervised_contrastive, X, CLASS),
    "triplet": parts(mlp(8), triplet, X, CLASS),
    "connectionist": parts(Connectionist, connectionist, X, torch.randint(1, 6, (128, 2))),
    "low rank": parts(
        Adapted, F.cross_entropy, X, CLASS,
        optimizer=lambda m: torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], 1e-2),
    ),
    "cosine": parts(Cosine, F.cross_entropy, X, CLASS),
    "dropout": parts(
        lambda: nn.Sequential(nn.Linear(12, 64), nn.GroupNorm(4, 64), nn.ReLU(), nn.Dropout(0.5),
                              nn.Linear(64, 5)), F.cross_entropy, X, CLASS,
    ),
    "no loss given": parts(mlp(), F.cross_entropy, X, CLASS) | {"loss": None},
}  # fmt: skip
"""Name -> the parts of a subject."""
