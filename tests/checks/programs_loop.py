"""Small clean programs with their own training loop and evaluation, as people write them.

`PROGRAMS[name]()` gives the parts of a subject. None of them has a mistake.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def loaders(x, y, batch=32):
    n = len(x) * 4 // 5
    train = DataLoader(TensorDataset(x[:n], y[:n]), batch, shuffle=True)
    return {"loader": train, "val": DataLoader(TensorDataset(x[n:], y[n:]), batch)}


def train_on(loader, loss):
    def train(model, optimizer, n_steps):
        done = 0
        while done < n_steps:
            model.train()
            for x, y in loader:
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()
                done += 1

    return train


def evaluate_on(val, loss, is_summed=False):
    @torch.no_grad()
    def evaluate(model):
        model.eval()
        total = n = 0
        for x, y in val:
            total += loss(model(x), y).item() * (1 if is_summed else len(x))
            n += len(x)
        return {"loss": total / n}

    return evaluate


def program(  # noqa: PLR0917
    model, loss, x, y, optimizer=None, batch=32, is_summed=False, **more
):
    data = loaders(x, y, batch)
    return {
        "model": model,
        "loss": loss,
        **data,
        "optimizer": optimizer or (lambda m: torch.optim.Adam(m.parameters(), 3e-3)),
        "train": train_on(data["loader"], loss),
        "evaluate": evaluate_on(data["val"], loss, is_summed),
        **more,
    }


def classes(n=400, c=4, noise=0.3):
    x = torch.randn(n, 16, generator=generator())
    w = torch.randn(16, c, generator=generator(1))
    y = (x @ w + noise * torch.randn(n, c, generator=generator(2))).argmax(1)
    return x, y


def images(n=320, c=4):
    y = torch.arange(n) % c
    x = 0.5 * torch.randn(n, 1, 8, 8, generator=generator())
    for k in range(c):
        x[y == k, 0, 2 * k : 2 * k + 2] += 1.5
    order = torch.randperm(n, generator=generator(3))
    return x[order], y[order]


def mlp(out=4, into=16):
    return lambda: nn.Sequential(nn.Linear(into, 32), nn.ReLU(), nn.Linear(32, out))


def plain():
    return program(mlp(), F.cross_entropy, *classes())


def slow_sgd():
    return program(
        mlp(), F.cross_entropy, *classes(), lambda m: torch.optim.SGD(m.parameters(), 0.05)
    )


def momentum():
    return program(
        mlp(), F.cross_entropy, *classes(),
        lambda m: torch.optim.SGD(m.parameters(), 0.05, momentum=0.9, weight_decay=1e-4),
    )  # fmt: skip


def batch_norm_images():
    def model():
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Flatten(), nn.Linear(256, 4),
        )  # fmt: skip

    return program(model, nn.CrossEntropyLoss(), *images())


class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(n, n, 3, padding=1), nn.BatchNorm2d(n), nn.ReLU(),
                                  nn.Conv2d(n, n, 3, padding=1), nn.BatchNorm2d(n))  # fmt: skip
        nn.init.zeros_(self.conv[-1].weight)

    def forward(self, x):
        return F.relu(x + self.conv(x))


def zero_residual():
    def model():
        return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), Block(8), Block(8),
                             nn.Flatten(), nn.Linear(512, 4))  # fmt: skip

    return program(model, F.cross_entropy, *images())


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 16)
        self.lstm = nn.LSTM(16, 24, 2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(24, 3)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0].mean(1))


def lstm():
    x = torch.randint(0, 12, (400, 10), generator=generator())
    y = ((x < 4).sum(1) > 3).long() + ((x < 4).sum(1) > 4).long()
    return program(Reader, F.cross_entropy, x, y, lambda m: torch.optim.Adam(m.parameters(), 1e-2))


class Language(nn.Module):
    def __init__(self, vocabulary=12, d=24):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, d)
        self.place = nn.Parameter(0.02 * torch.randn(16, d))
        layer = nn.TransformerEncoderLayer(d, 2, 48, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(d, vocabulary, bias=False)
        nn.init.normal_(self.embed.weight, std=0.1)
        self.head.weight = self.embed.weight

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.head(
            self.layers(self.embed(x) + self.place[: x.shape[1]], mask, is_causal=True)
        )


def language():
    start = torch.randint(0, 12, (300, 1), generator=generator())
    stride = torch.randint(1, 3, (300, 1), generator=generator(1))
    text = (start + stride * torch.arange(13)) % 12

    def loss(output, target):
        return F.cross_entropy(output.flatten(0, 1), target.flatten())

    return program(Language, loss, text[:, :-1], text[:, 1:].contiguous(),
                   lambda m: torch.optim.AdamW(m.parameters(), 3e-3))  # fmt: skip


def regression():
    x = torch.randn(400, 8, generator=generator())
    y = (x[:, :1] * 2 + x[:, 1:2] ** 2 - 1) / 2.5
    return program(mlp(1, 8), F.mse_loss, x, y, lambda m: torch.optim.Adam(m.parameters(), 1e-2))


def huber():
    return {**(p := regression()), "loss": nn.HuberLoss(),
            "train": train_on(p["loader"], nn.HuberLoss()),
            "evaluate": evaluate_on(p["val"], nn.HuberLoss())}  # fmt: skip


def linear():
    x = torch.randn(400, 8, generator=generator())
    y = x @ torch.randn(8, 1, generator=generator(1)) / 3 + 0.1 * torch.randn(400, 1)
    return program(lambda: nn.Linear(8, 1), F.mse_loss, x, y,
                   lambda m: torch.optim.SGD(m.parameters(), 0.05))  # fmt: skip


def noisy_regression():
    x = torch.randn(400, 8, generator=generator())
    y = x[:, :1] + torch.randn(400, 1, generator=generator(1))
    return program(mlp(1, 8), F.mse_loss, x, y)


def imbalanced():
    x = torch.randn(800, 8, generator=generator())
    y = (x[:, 0] + x[:, 1] > 2.2).float()

    def model():
        return nn.Sequential(*mlp(1, 8)(), nn.Flatten(0))

    return program(model, F.binary_cross_entropy_with_logits, x, y, batch=64)


def multi_label():
    x = torch.randn(400, 8, generator=generator())
    return program(mlp(5, 8), nn.BCEWithLogitsLoss(), x, (x[:, :5] > 0.3).float())


def autoencoder():
    code = torch.randn(400, 3, generator=generator())
    x = torch.tanh(code @ torch.randn(3, 16, generator=generator(1)))

    def model():
        return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3), nn.Linear(3, 32),
                             nn.ReLU(), nn.Linear(32, 16))  # fmt: skip

    return program(model, F.mse_loss, x, x.clone())


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(16, 8)
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, x):
        mean, log = self.encoder(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (log / 2).exp()
        return self.decoder(z), mean, log


def variational():
    code = torch.randn(400, 3, generator=generator())
    x = torch.tanh(code @ torch.randn(3, 16, generator=generator(1)))

    def loss(output, x):
        found, mean, log = output
        kl = -0.5 * (1 + log - mean**2 - log.exp()).sum(1).mean()
        return F.mse_loss(found, x, reduction="sum") / len(x) + 0.1 * kl

    return program(Variational, loss, x, x.clone())


def summed():
    def loss(output, target):
        return F.cross_entropy(output, target, reduction="sum")

    return program(mlp(), loss, *classes(), lambda m: torch.optim.Adam(m.parameters(), 3e-3),
                   is_summed=True)  # fmt: skip


def smoothed():
    return program(mlp(), nn.CrossEntropyLoss(label_smoothing=0.1), *classes())


def much_dropout():
    def model():
        return nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))

    return program(model, F.cross_entropy, *classes())


def group_norm():
    def model():
        return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(),
                             nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 4))  # fmt: skip

    return program(model, F.cross_entropy, *images())


def frozen():
    def model():
        net = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
        for p in net[:2].parameters():
            p.requires_grad_(False)
        return net

    return program(
        model, F.cross_entropy, *classes(),
        lambda m: torch.optim.Adam([p for p in m.parameters() if p.requires_grad], 1e-2),
    )  # fmt: skip


class Gaussian(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(2, 8)()

    def forward(self, x):
        mean, log = self.net(x).chunk(2, 1)
        return mean, log


def gaussian():
    x = torch.randn(400, 8, generator=generator())
    y = x[:, :1] + 0.3 * torch.randn(400, 1, generator=generator(1))

    def loss(output, target):
        return F.gaussian_nll_loss(output[0], target, output[1].exp())

    return program(Gaussian, loss, x, y)


def clipped_schedule():
    parts = program(mlp(), F.cross_entropy, *classes())

    def train(model, optimizer, n_steps):
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=n_steps)
        batches = iter(())
        for _ in range(n_steps):
            batch = next(batches, None)
            if batch is None:
                batches = iter(parts["loader"])
                batch = next(batches)
            optimizer.zero_grad(set_to_none=False)
            F.cross_entropy(model(batch[0]), batch[1]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()

    return {**parts, "train": train}


PROGRAMS = {
    f.__name__: f
    for f in (
        plain, slow_sgd, momentum, batch_norm_images, zero_residual, lstm, language, regression,
        huber, linear, noisy_regression, imbalanced, multi_label, autoencoder, variational, summed,
        smoothed, much_dropout, group_norm, frozen, gaussian, clipped_schedule,
    )
}  # fmt: skip
