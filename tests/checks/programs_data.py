"""Clean programs of many kinds: no rule on data may alarm on them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler

__all__ = ["CLEAN", "made", "pictures", "table"]


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def table(n=256, d=12, seed=0):
    """Standard scores and three classes that follow from them."""
    x = torch.randn(n, d, generator=gen(seed))
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def pictures(n=192, seed=0, side=12, channels=1):
    """[0, 1] pictures: a soft blob whose quadrant is the class."""
    g = gen(seed)
    y = torch.randint(0, 4, (n,), generator=g)
    at = torch.stack([y // 2, y % 2], 1) * side / 2 + side / 4
    at = at + torch.randn(n, 2, generator=g)
    axis = torch.arange(side).float()
    d = (axis[None, :, None] - at[:, 0, None, None]) ** 2 + (
        axis[None, None, :] - at[:, 1, None, None]
    ) ** 2
    x = torch.exp(-d / 4)[:, None].repeat(1, channels, 1, 1)
    return (x + 0.1 * torch.rand(x.shape, generator=g)).clamp(0, 1), y


def loaders(train, val, batch=32, **how):
    return {
        "loader": DataLoader(TensorDataset(*train), batch, shuffle=True, **how),
        "val": DataLoader(TensorDataset(*val), batch),
    }


def made(model, loss=None, **more):
    """A subject's parts; the optimizer is Adam."""
    return {
        "model": model,
        "loss": loss,
        "optimizer": lambda m: torch.optim.Adam(m.parameters(), 1e-2),
        **more,
    }


def mlp(d=12, out=3):
    return lambda: nn.Sequential(nn.Linear(d, 32), nn.ReLU(), nn.Linear(32, out))


def cnn(channels=1, out=4):
    return lambda: nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, out),
    )  # fmt: skip


class ByteNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = cnn()()

    def forward(self, x):
        return self.net(x.float() / 255)


class NormFirst(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.register_buffer("mean", torch.full((d,), 100.0))
        self.net = mlp(d)()

    def forward(self, x):
        return self.net((x - self.mean) / 25)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.lstm = nn.LSTM(16, 16, batch_first=True)
        self.head = nn.Linear(16, 30)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0])


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.Linear(144, 8), nn.Linear(4, 144)

    def forward(self, x):
        mean, log_var = self.enc(x.flatten(1)).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (log_var / 2).exp()
        return self.dec(z), mean, log_var


def elbo(out, x):
    recon, mean, log_var = out
    kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(1).mean()
    return F.binary_cross_entropy_with_logits(recon, x.flatten(1)) + kl / 144


def ce_last(o, y):
    return F.cross_entropy(o.transpose(1, 2), y)


class Stream(IterableDataset):
    def __init__(self, n, seed):
        self.n, self.seed = n, seed

    def __iter__(self):
        x, y = table(self.n, seed=self.seed)
        yield from zip(x, y, strict=True)


class Windows(torch.utils.data.Dataset):
    """Windows of a slow wave with noise: neighbours overlap."""

    def __init__(self, start, n):
        t = torch.arange(start, start + n + 33).float()
        self.wave = torch.sin(t / 7) + 0.1 * torch.randn(len(t), generator=gen(start))
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.wave[i : i + 32, None], self.wave[i + 32 : i + 33]


class Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(1, 16, batch_first=True), nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(12, 4)()

    def forward(self, input_ids, attention_mask, labels=None):
        x = F.one_hot(input_ids, 12).float() * attention_mask[..., None]
        logits = self.net(x.mean(1))
        return {"logits": logits, "loss": F.cross_entropy(logits, labels)}


def tokens(n, seed, length=16):
    g = gen(seed)
    x = torch.randint(0, 30, (n, length + 1), generator=g)
    return x[:, :-1].clone(), x[:, 1:].clone()


def _hf():
    def data(n, seed):
        ids = torch.randint(0, 12, (n, 9), generator=gen(seed))
        mask = (torch.rand(n, 9, generator=gen(seed + 1)) > 0.2).long()
        rows = [
            {"input_ids": i, "attention_mask": m, "labels": i[0] % 4}
            for i, m in zip(ids, mask, strict=True)
        ]
        return rows

    return made(
        Masked,
        loader=DataLoader(data(128, 0), 16, shuffle=True),
        val=DataLoader(data(64, 5), 16),
    )


def _mlp():
    return made(mlp(), F.cross_entropy, **loaders(table(), table(96, seed=1)))


def _cnn():
    return made(cnn(), F.cross_entropy, **loaders(pictures(), pictures(96, 1)))


def _colour():
    def rgb(n, seed):
        x, y = pictures(n, seed, channels=3)
        tint = torch.rand(n, 3, 1, 1, generator=gen(seed + 7))
        return x * tint, y

    return made(cnn(3), F.cross_entropy, **loaders(rgb(192, 0), rgb(96, 1)))


def _bytes():
    def data(n, seed):
        x, y = pictures(n, seed)
        return (x * 255).byte(), y

    return made(ByteNet, F.cross_entropy, **loaders(data(192, 0), data(96, 1)))


def _binarised():
    def data(n, seed):
        x, y = pictures(n, seed)
        return (x > 0.4).float(), y

    return made(cnn(), F.cross_entropy, **loaders(data(192, 0), data(96, 1)))


def _norm_inside():
    def data(n, seed):
        x, y = table(n, seed=seed)
        return x * 25 + 100, y

    return made(lambda: NormFirst(12), F.cross_entropy, **loaders(data(256, 0), data(96, 1)))


def _batch_norm_first():
    def data(n, seed):
        x, y = table(n, seed=seed)
        return x * torch.logspace(-2, 3, 12) + 50, y

    def model():
        return nn.Sequential(nn.BatchNorm1d(12), *mlp()())

    return made(model, F.cross_entropy, **loaders(data(256, 0), data(96, 1)))


def _one_hot():
    def data(n, seed):
        x, y = table(n, seed=seed)
        kind = F.one_hot((x[:, 2] * 2).long().clamp(0, 3), 4).float()
        rare = (torch.rand(n, 1, generator=gen(seed)) > 0.97).float()
        return torch.cat([x, kind, rare], 1), y

    return made(mlp(17), F.cross_entropy, **loaders(data(256, 0), data(96, 1)))


def _regression():
    def data(n, seed):
        x, _ = table(n, seed=seed)
        return x, x[:, :1] * 2 + x[:, 1:2] ** 2

    return made(mlp(12, 1), F.mse_loss, **loaders(data(256, 0), data(96, 1)))


def _imbalanced():
    def data(n, seed):
        x, _ = table(n, seed=seed)
        return x, (x[:, :1] > 2.0).float()

    weight = torch.tensor([30.0])
    return made(
        mlp(12, 1),
        nn.BCEWithLogitsLoss(pos_weight=weight),
        **loaders(data(1024, 0), data(256, 1)),
    )


def _resampled():
    (x, y), val = table(512), table(96, seed=1)
    y = (y == 2).long() * (torch.rand(512, generator=gen(3)) < 0.3)
    weights = torch.where(y == 1, 10.0, 1.0)
    return made(
        mlp(),
        F.cross_entropy,
        loader=DataLoader(
            TensorDataset(x, y), 32, sampler=WeightedRandomSampler(weights, 512, generator=gen())
        ),
        val=DataLoader(TensorDataset(*val), 32),
    )


def _multi_label():
    def data(n, seed):
        x, _ = table(n, seed=seed)
        return x, (x[:, :5] > 0.5).float()

    return made(
        mlp(12, 5), F.binary_cross_entropy_with_logits, **loaders(data(256, 0), data(96, 1))
    )


def _lm():
    return made(Tagger, ce_last, task="language", **loaders(tokens(128, 0), tokens(64, 1)))


def _autoencoder():
    def model():
        return nn.Sequential(nn.Flatten(), nn.Linear(144, 16), nn.Tanh(), nn.Linear(16, 144))

    def loss(out, x):
        return F.mse_loss(out, x.flatten(1))

    x, _ = pictures()
    v, _ = pictures(96, 1)
    return made(
        model, loss, loader=DataLoader(x, 32, shuffle=True), val=DataLoader(v, 32), task="other"
    )


def _vae():
    x, _ = pictures()
    v, _ = pictures(96, 1)
    return made(VAE, elbo, loader=DataLoader(x, 32, shuffle=True), val=DataLoader(v, 32))


def _dummy_target():
    """Pairs whose target the loss never looks at."""

    def loss(out, y):
        return ((out - out.mean(0)) ** 2).mean()

    (x, _), (v, _) = table(), table(96, seed=1)
    return made(
        mlp(), loss, **loaders((x, torch.zeros(len(x))), (v, torch.zeros(len(v)))), task="other"
    )


def _segmentation():
    def data(n, seed):
        x, _ = pictures(n, seed)
        y = (x[:, 0] > 0.5).long()
        y[:, 0] = 255
        return x, y

    def model():
        return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))

    return made(model, nn.CrossEntropyLoss(ignore_index=255), **loaders(data(128, 0), data(64, 1)))


def _stream():
    return made(
        mlp(),
        F.cross_entropy,
        loader=DataLoader(Stream(256, 0), 32),
        val=DataLoader(Stream(96, 1), 32),
    )


def _list():
    (x, y), (v, w) = table(), table(96, seed=1)
    return made(
        mlp(),
        F.cross_entropy,
        loader=list(zip(x.split(32), y.split(32), strict=True)),
        val=[(v, w)],
    )


def _windows():
    return made(
        Last,
        F.mse_loss,
        loader=DataLoader(Windows(0, 256), 32, shuffle=True),
        val=DataLoader(Windows(400, 96), 32),
    )


def _windows_in_order():
    return made(
        Last,
        F.mse_loss,
        loader=DataLoader(Windows(0, 256), 32),
        val=DataLoader(Windows(400, 96), 32),
    )


def _missing_labels():
    """Unknown labels are NaN, and masked by the loss."""

    def data(n, seed):
        x, _ = table(n, seed=seed)
        y = (x[:, :5] > 0).float()
        y[torch.rand(y.shape, generator=gen(seed)) < 0.3] = torch.nan
        return x, y

    def loss(out, y):
        known = ~y.isnan()
        return F.binary_cross_entropy_with_logits(out[known], y[known])

    return made(mlp(12, 5), loss, **loaders(data(256, 0), data(96, 1)))


def _sparse_text():
    def data(n, seed):
        g = gen(seed)
        y = torch.randint(0, 3, (n,), generator=g)
        rate = torch.full((3, 300), 0.02)
        for c in range(3):
            rate[c, c * 40 : c * 40 + 40] = 0.3
        x = torch.poisson(rate[y], generator=g)
        return x / x.norm(dim=1, keepdim=True).clamp(min=1), y

    return made(mlp(300), F.cross_entropy, **loaders(data(256, 0), data(96, 1)))


def _bag_of_words():
    """Raw counts, also of whole documents that come twice."""

    def data(n, seed):
        g = gen(seed)
        y = torch.randint(0, 3, (n,), generator=g)
        return torch.poisson(F.one_hot(y, 12).float() + 0.2, generator=g), y

    return made(mlp(), F.cross_entropy, **loaders(data(256, 0), data(96, 1)))


def _heavy_tails():
    def data(n, seed):
        x, y = table(n, seed=seed)
        x = x.exp()
        return (x - 1.65) / 2.16, y

    return made(mlp(), F.cross_entropy, **loaders(data(256, 0), data(96, 1)))


def _blobs():
    def data(n, seed):
        g = gen(seed)
        y = torch.randint(0, 3, (n,), generator=g)
        centre = torch.tensor([[-1.2, 0.0], [1.2, 0.0], [0.0, 1.6]])
        return centre[y] + 0.3 * torch.randn(n, 2, generator=g), y

    return made(mlp(2), F.cross_entropy, **loaders(data(256, 0), data(96, 1)))


def _xor():
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(16, 1)
    y = (x.sum(1) == 1).long()
    return made(mlp(2, 2), F.cross_entropy, loader=DataLoader(TensorDataset(x, y), 8, shuffle=True))


def _addition():
    """Sums of two digits: all that there is, split at random."""
    pairs = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    order = torch.randperm(100, generator=gen())
    x = torch.cat([F.one_hot(pairs[:, 0], 10), F.one_hot(pairs[:, 1], 10)], 1).float()[order]
    y = pairs.sum(1)[order]
    return made(mlp(20, 19), F.cross_entropy, **loaders((x[:80], y[:80]), (x[80:], y[80:])))


def _augmented():
    class Flipped(torch.utils.data.Dataset):
        def __init__(self, n, seed, flips):
            self.x, self.y = pictures(n, seed)
            self.flips = flips

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            x = self.x[i]
            if self.flips:
                x = x + 0.1 * torch.randn(x.shape)
            return x, int(self.y[i])

    return made(
        cnn(),
        F.cross_entropy,
        loader=DataLoader(Flipped(192, 0, True), 32, shuffle=True, drop_last=True),
        val=DataLoader(Flipped(96, 1, False), 40),
    )


class Drawn(torch.utils.data.Dataset):
    """Items made by `item(i)`, which may draw at random."""

    def __init__(self, n, item):
        self.n, self.item = n, item

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.item(i)


def drawn(train, val, batch=32):
    return {
        "loader": DataLoader(Drawn(192, train), batch, shuffle=True),
        "val": DataLoader(Drawn(96, val), batch),
    }


def _denoising():
    (x, _), (v, _) = pictures(), pictures(96, 1)

    def noisy(data):
        return lambda i: (data[i] + 0.1 * torch.randn(data[i].shape), data[i])

    model = lambda: nn.Conv2d(1, 1, 5, padding=2)  # noqa: E731
    return made(model, F.mse_loss, **drawn(noisy(x), noisy(v)))


def _diffusion():
    """The noise is the target, drawn anew at each read, in validation too."""
    (x, _), (v, _) = pictures(), pictures(96, 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.time, self.conv = nn.Linear(1, 1), nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, noisy, t):
            return self.conv(noisy + self.time(t[:, None])[..., None, None])

    def item(data):
        def make(i):
            t, noise = torch.rand(()), torch.randn(data[i].shape)
            return data[i] * (1 - t) + noise * t, t, noise

        return make

    return made(Net, F.mse_loss, **drawn(item(x), item(v)))


class Twin(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = mlp(12, 4)()

    def forward(self, one, other):
        return (self.net(one) - self.net(other)).pow(2).sum(1)


def _siamese():
    """Pairs drawn at random, in validation too."""
    (x, y), (v, w) = table(192), table(96, seed=1)

    def pairs(x, y):
        def make(i):
            j = int(torch.randint(0, len(x), ()))
            return x[i], x[j], (y[i] == y[j]).float()

        return make

    def loss(distance, same):
        return (same * distance + (1 - same) * (1 - distance).clamp(min=0)).mean()

    return made(Twin, loss, **drawn(pairs(x, y), pairs(v, w)))


def _two_views():
    """Self-supervised: two random views of each example, also to validate on."""
    (x, _), (v, _) = table(192), table(96, seed=1)

    def views(data):
        return lambda i: (data[i] + 0.1 * torch.randn(12), data[i] + 0.1 * torch.randn(12), i)

    class Net(Twin):
        def forward(self, one, other):
            return F.normalize(self.net(one), dim=1) @ F.normalize(self.net(other), dim=1).T

    def loss(scores, _):
        return F.cross_entropy(scores * 5, torch.arange(len(scores)))

    return made(Net, loss, task="other", **drawn(views(x), views(v)))


def _masked_language():
    (x, _), (v, _) = tokens(192, 0), tokens(96, 1)

    def masked(data):
        def make(i):
            hidden = torch.rand(16) < 0.3
            hidden[0] = True
            return data[i].masked_fill(hidden, 0), data[i].masked_fill(~hidden, -100)

        return make

    return made(Tagger, ce_last, task="language", **drawn(masked(x), masked(v)))


def _random_crops():
    """Windows of one text at random places, as language models are often fed."""
    text = torch.randint(0, 30, (4000,), generator=gen())

    def crops(low, high):
        def make(_):
            at = int(torch.randint(low, high, ()))
            return text[at : at + 16], text[at + 1 : at + 17]

        return make

    return made(Tagger, ce_last, task="language", **drawn(crops(0, 3000), crops(3100, 3900)))


def _trend():
    """A series that grows: validation comes later."""
    t = torch.arange(420).float()
    wave = t / 200 - 1 + torch.sin(t / 5) + 0.1 * torch.randn(420, generator=gen())
    x = wave.unfold(0, 25, 1)
    x, y = x[:, :24, None], x[:, 24:]
    return made(Last, F.mse_loss, **loaders((x[:300], y[:300]), (x[300:], y[300:])))


def _few_and_heavy():
    """A small validation set of heavy tails."""

    def data(n, seed):
        x = torch.distributions.StudentT(2.0).rsample((n, 4))
        return x, (x[:, 0] > 0).long()

    torch.manual_seed(3)
    return made(mlp(4, 2), F.cross_entropy, **loaders(data(400, 0), data(24, 1)))


def _episodes():
    """Few-shot: each batch holds its classes in order, anew from 0."""
    g = gen(5)
    y = torch.arange(5).repeat_interleave(6)
    batches = []
    for _ in range(20):
        centre = torch.randn(5, 8, generator=g)
        batches.append((centre[y] + 0.1 * torch.randn(30, 8, generator=g), y))
    return made(mlp(8, 5), F.cross_entropy, loader=batches)


def _balanced_batches():
    """Each batch holds as many of each class."""
    x, y = table(300)
    by_class = [torch.nonzero(y == c)[:, 0] for c in range(3)]
    g = gen(1)

    class Balanced:
        def __iter__(self):
            for _ in range(9):
                yield torch.cat(
                    [c[torch.randint(0, len(c), (10,), generator=g)] for c in by_class]
                ).tolist()

        def __len__(self):
            return 9

    return made(
        mlp(),
        F.cross_entropy,
        loader=DataLoader(TensorDataset(x, y), batch_sampler=Balanced()),
        val=DataLoader(TensorDataset(*table(96, seed=1)), 32),
    )


def _board():
    """Positions of a game: each square empty, ours or theirs."""

    def data(n, seed):
        x = torch.randint(0, 2, (n, 2, 6, 6), generator=gen(seed)).float()
        x[:, 1] *= 1 - x[:, 0]
        return x, (x[:, 0].sum((1, 2)) > x[:, 1].sum((1, 2))).float()[:, None]

    model = lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 16), nn.ReLU(), nn.Linear(16, 1))  # noqa: E731
    return made(model, F.binary_cross_entropy_with_logits, **loaders(data(256, 0), data(96, 1)))


def _spectra():
    """Positive, skewed spectra on a logarithmic scale, standardized."""

    def data(n, seed):
        g = gen(seed)
        y = torch.randint(0, 3, (n,), generator=g)
        axis = torch.arange(64).float()
        peak = torch.exp(-((axis - 15 * (y[:, None] + 1)) ** 2) / 20)
        x = (peak + 0.05 * torch.rand(n, 64, generator=g)).log()
        return (x + 2.9) / 0.9, y

    return made(mlp(64), F.cross_entropy, **loaders(data(256, 0), data(96, 1)))


def _two_inputs():
    """Pictures and a table beside them."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.flat = cnn(1, 8)(), nn.Linear(12, 8)
            self.head = nn.Linear(16, 4)

        def forward(self, image, more):
            return self.head(torch.cat([self.conv(image), self.flat(more)], 1))

    def data(n, seed):
        x, y = pictures(n, seed)
        return x, table(n, seed=seed)[0], y

    return made(Net, F.cross_entropy, **loaders(data(192, 0), data(96, 1)))


def _one_batch():
    return made(mlp(), F.cross_entropy, loader=[table()])


def _same_batch_again():
    return made(mlp(), F.cross_entropy, loader=[table(32)] * 8)


def _grey_as_colour():
    """All pictures are grey, in three channels, as a pretrained net wants them."""

    def data(n, seed):
        x, y = pictures(n, seed)
        return (x.repeat(1, 3, 1, 1) - 0.45) / 0.225, y

    return made(cnn(3), F.cross_entropy, **loaders(data(192, 0), data(96, 1)))


CLEAN = {
    name.removeprefix("_"): program
    for name, program in list(globals().items())
    if name.startswith("_") and not name.startswith("__") and callable(program)
}
