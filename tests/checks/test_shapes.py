"""The table of shapes, and losses that repeat."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

import labbook
from tests.checks.programs_model import CLASSES, CLEAN, DIGITS, IMAGES, SERIES, X, program


def table(parts):
    [found] = labbook.check(parts, only=["model/shape-primes"]).findings
    assert found.status == "note"
    return found.evidence


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 8, 3), nn.MaxPool2d(2)
        self.flat, self.head = nn.Flatten(2), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.flat(self.pool(self.conv(x))).mean(2))


def test_axes_are_named_after_what_they_follow():
    assert table(program(Pooled, F.cross_entropy, IMAGES, DIGITS)) == (
        "B = 7, H = 11, W = 17: input: B × 3 × H × W; conv (Conv2d): B × 8 × H−2 × W−2; "
        "pool (MaxPool2d): B × 8 × H/2 × W/2; flat (Flatten): B × 8 × 28 or 40; "
        "head (Linear): B × 2; output: B × 2"
    )


def test_axes_that_are_fixed_stay_numbers():
    evidence = table(CLEAN["mlp"]())
    assert evidence.startswith("B = 7, no other axis is free: input: B × 12; 0 (Linear): B × 16;")


def test_tokens_name_time_and_products():
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.flat, self.head = nn.Flatten(0, 1), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.flat(x)).view(len(x), -1, 2).mean(1)

    evidence = table(program(Joined, F.cross_entropy, SERIES, DIGITS))
    assert "flat (Flatten): B·T × 4" in evidence


def test_a_model_that_takes_no_small_batch_is_skipped():
    [skipped] = labbook.check(
        program(lambda: nn.Sequential(nn.Unflatten(0, (16, 1)), nn.Flatten(1), nn.Linear(12, 3)),
                F.cross_entropy, X, CLASSES),
        only=["model/shape-primes"],
    ).skipped  # fmt: skip
    assert skipped.reason == "the model does not take a few examples"


def test_losses_that_do_not_repeat_are_a_note():
    clock = itertools.count(1)

    class Clock(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(12, 3)

        def forward(self, x):
            noise = torch.Generator().manual_seed(next(clock))
            return self.head(x + torch.randn(x.shape, generator=noise))

    report = labbook.check(program(Clock, F.cross_entropy, X, CLASSES), only=["model/repeatable"])
    assert [f.status for f in report.findings] == ["note"]
    assert "from step 0 on" in report.findings[0].evidence


def test_dropout_and_shuffling_repeat_with_the_seed():
    report = labbook.check(CLEAN["cnn bn"](), only=["model/repeatable"])
    assert report.passed == ("model/repeatable",)
