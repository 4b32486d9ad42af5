"""Rules on classes, neighbours and outliers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import labbook
from tests.checks.programs_data import gen, loaders, made, mlp, pictures, table
from tests.checks.test_data_rules import alarms, ce, notes, skipped


def rare(overlap, n=1024):
    """One class of 4 %, inside the other one's cloud or beside it."""
    x = torch.randn(n, 8, generator=gen(2))
    y = (torch.rand(n, generator=gen(3)) < 0.04).long()
    x[:, 0] += 4 * y if not overlap else 0.7 * y
    return x, y


def imbalanced(overlap, loss=F.cross_entropy):
    return made(
        lambda: nn.Linear(8, 2), loss, loader=DataLoader(TensorDataset(*rare(overlap)), 64, True)
    )


def test_imbalance_alone_is_a_note():
    subject = imbalanced(overlap=False)
    assert alarms(subject) == {}
    assert "class 1" in notes(subject)["data/imbalance"].evidence


def test_a_class_that_is_never_predicted_is_a_warning():
    found = alarms(imbalanced(overlap=True))
    assert list(found) == ["data/imbalance"]
    assert "never predicts 1" in found["data/imbalance"].evidence


def test_a_weighted_loss_is_a_note():
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 25.0]))
    assert alarms(imbalanced(overlap=True, loss=loss)) == {}


def test_balanced_classes_pass():
    report = labbook.check(ce(), only=["data/imbalance"])
    assert report.passed == ("data/imbalance",)


def test_one_picture_of_another_scale():
    (x, y), (v, w) = pictures(), pictures(96, 1)
    x[17] *= 255
    found = alarms(ce((x, y), (v, w), lambda: nn.Sequential(nn.Flatten(), nn.Linear(144, 4))))
    assert "example 17" in found["data/outlier-property"].evidence


def test_a_few_grey_pictures_are_a_note():
    x, y = pictures(channels=3)
    x = x * (0.5 + torch.rand(len(x), 3, 1, 1, generator=gen(9)))
    x[[3, 50]] = x[[3, 50]].mean(1, keepdim=True)
    model = lambda: nn.Sequential(nn.Flatten(), nn.Linear(432, 4))  # noqa: E731
    subject = made(model, F.cross_entropy, loader=DataLoader(TensorDataset(x, y), 32, True))
    text = notes(subject)["data/grayscale-minority"].evidence
    assert "2 of 192" in text


def test_a_picture_that_was_not_rescaled_is_a_note():
    x, y = pictures(60)
    batches = [(x[i : i + 2], y[i : i + 2]) for i in range(0, 60, 2)]
    batches[4] = (torch.rand(2, 1, 96, 96), batches[4][1])
    model = lambda: nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, 4))  # noqa: E731
    subject = made(model, F.cross_entropy, loader=batches)
    assert "9216 pixels" in notes(subject)["data/size-minority"].evidence
    assert alarms(subject) == {}


def test_augmented_before_the_split():
    x, y = table(200, 16)
    copies = x.repeat(2, 1) + 0.01 * torch.randn(400, 16, generator=gen(4))
    order = torch.randperm(400, generator=gen(5))
    x, y = copies[order], y.repeat(2)[order]
    subject = made(mlp(16), F.cross_entropy, **loaders((x[:300], y[:300]), (x[300:], y[300:])))
    found = alarms(subject)
    assert list(found) == ["data/near-duplicate"]
    assert "of val" in found["data/near-duplicate"].evidence


def test_two_that_are_almost_the_same_are_a_note():
    x, y = table(256, 16)
    x[10] = x[20] + 0.001
    subject = ce((x, y), table(96, 16, seed=1), mlp(16))
    assert alarms(subject) == {}
    text = notes(subject)["data/near-duplicate"].evidence
    assert "10" in text
    assert "20" in text


def test_a_curve_fills_one_dimension():
    t = torch.rand(300, generator=gen(1))
    x = torch.stack([torch.sin(k * t) for k in range(1, 17)], 1)
    y = (t > 0.5).long()
    assert alarms(ce((x[:200], y[:200]), (x[200:], y[200:]), mlp(16, 2))) == {}


def test_wrong_labels_are_listed():
    g = gen(6)
    y = torch.arange(300) % 3
    x = F.one_hot(y, 3).float() * 8 + torch.randn(300, 3, generator=g)
    x = torch.cat([x, torch.randn(300, 5, generator=g)], 1)
    y = y.clone()
    y[[8, 33]] = (y[[8, 33]] + 1) % 3
    subject = made(mlp(8), F.cross_entropy, loader=DataLoader(TensorDataset(x, y), 50, True))
    text = notes(subject)["data/neighbour-labels"].evidence
    assert "8" in text
    assert "33" in text


def test_tokens_have_no_distances():
    x = torch.randint(0, 9, (64, 6))
    model = lambda: nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(24, 2))  # noqa: E731
    subject = made(
        model, F.cross_entropy, loader=DataLoader(TensorDataset(x, torch.arange(64) % 2), 16)
    )
    assert "few values" in skipped(subject, "data/near-duplicate")
    assert "tokens" in skipped(subject, "data/outlier-property")
    assert "no floats" in skipped(subject, "data/not-standardized")
