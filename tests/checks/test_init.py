"""What can be said before the first step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import labbook
from tests.checks.programs_loss import BINARY, CLASS, CLEAN, VALUE, X, mlp, parts

RULES = ["init"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def alarms(report):
    assert not report.crashed, report.crashed[0].trace
    return [f for f in report.findings if f.status != "note"]


def found(subject, rule):
    causes = [f for f in alarms(labbook.check(subject, only=RULES)) if f.follows_from is None]
    assert [f.rule for f in causes] == [rule]
    return causes[0]


@pytest.mark.parametrize("name", CLEAN)
def test_a_program_that_is_as_it_should_be_raises_no_alarm(name):
    assert alarms(labbook.check(CLEAN[name], only=RULES)) == []


# ------------------------------------------------------------- not a number


class Unset(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()()
        self.scale = nn.Parameter(torch.full((5,), math.nan))

    def forward(self, x):
        return self.body(x) * self.scale


class Rooted(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()()

    def forward(self, x):
        return torch.sqrt(self.body(x))


def log_of_zero(o, y):
    return -(BINARY[:16] * torch.relu(o).log()).mean()


def root_mean_square(o, y):
    return torch.sqrt(((o - o.detach()) ** 2).sum(1)).mean() + F.cross_entropy(o, y)


@pytest.mark.parametrize(
    ("subject", "where", "text"),
    [
        (parts(Unset, F.cross_entropy, X, CLASS), "scale", "holds NaN"),
        (parts(Rooted, F.cross_entropy, X, CLASS), "in forward", "sqrt() makes NaN"),
        (parts(mlp(), F.cross_entropy, X / 0, CLASS), "the first batch", "holds an infinity"),
        (parts(mlp(), log_of_zero, X, CLASS), "in log_of_zero", "log() makes"),
        (parts(mlp(), root_mean_square, X, CLASS), "in root_mean_square", "gradient of 0.weight"),
        (parts(mlp(1), F.mse_loss, X, VALUE / 0), "the first batch", "targets hold"),
    ],
)
def test_what_is_no_number_is_found_where_it_begins(subject, where, text):
    finding = found(subject | {"train": None}, "init/nonfinite")
    assert finding.status == "fail"
    assert where in finding.where
    assert text in finding.evidence


class Masked(nn.Module):
    """Actions that are not allowed have a logit of minus infinity."""

    def __init__(self):
        super().__init__()
        self.body = mlp(7)()

    def forward(self, x):
        return self.body(x).masked_fill(torch.arange(7) > 4, -math.inf)


def test_masks_of_infinity_are_right():
    assert alarms(labbook.check(parts(Masked, F.cross_entropy, X, CLASS), only=RULES)) == []
