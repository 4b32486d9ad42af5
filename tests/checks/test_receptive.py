"""What one output sees, against nets whose receptive field is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labbook.checks.bench import Bench
from labbook.checks.receptive import receptive
from labbook.checks.rule import Cannot
from labbook.checks.subject import Subject


def field(make, x, **more):
    subject = Subject(model=make, loader=[(x, x)], loss=lambda o, y: o.mean(), **more)
    return Bench(subject).shared(receptive)


def conv(*layers):
    return lambda: nn.Sequential(*layers)


def test_three_convolutions_see_seven():
    make = lambda: nn.Sequential(*(nn.Conv1d(1 if i == 0 else 4, 4, 3) for i in range(3)))  # noqa: E731
    found = field(make, torch.randn(4, 1, 40))
    assert found.size == (1, 7)
    assert found.stride == (0, 1)
    assert found.jitter == (0, 0)
    assert found.axes == (None, 1)
    assert not found.is_global


def test_strides_multiply_and_relus_hide_nothing():
    def make():
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1),
        )  # fmt: skip

    found = field(make, torch.randn(2, 3, 48, 48))
    assert found.size == (3, 7, 7)
    assert found.stride == (0, 4, 4)
    assert found.axes == (None, 1, 2)


def test_a_linear_layer_sees_everything():
    found = field(lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 5)), torch.randn(4, 3, 16))
    assert found.is_global
    assert found.size == (3, 16)
    assert found.stride == (0, 0)


class Causal(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.conv = nn.Conv1d(6, 9, 4)

    def forward(self, x):
        return self.conv(nn.functional.pad(self.embed(x).transpose(1, 2), (3, 0))).transpose(1, 2)


def test_tokens_are_followed_from_the_embedding():
    found = field(Causal, torch.randint(0, 20, (3, 30)))
    assert found.size == (4,)
    assert found.stride == (1,)
    assert found.axes == (0,)


def test_a_recurrent_net_grows_with_the_position():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.GRU(2, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    found = field(Tagger, torch.randn(2, 21, 2))
    assert found.size == (11, 2)
    assert found.axes == (0, None)
    assert found.jitter[0] > 0


def test_an_output_that_depends_on_nothing():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return self.bias.expand(len(x), 3)

    with pytest.raises(Cannot, match="does not depend"):
        field(Constant, torch.randn(4, 5))
