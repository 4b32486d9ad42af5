"""What can be said before the first step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import labbook
from tests.checks.programs_loss import BINARY, CLASS, CLEAN, VALUE, X, mlp, parts, sequence
from tests.checks.programs_loss_rare import RARE

RULES = ["init", "grad/not-descent"]


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


@pytest.mark.parametrize("subject", [*CLEAN.values(), *RARE.values()], ids=[*CLEAN, *RARE])
def test_a_program_that_is_as_it_should_be_raises_no_alarm(subject):
    assert alarms(labbook.check(subject, only=RULES)) == []


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


# ------------------------------------------------------------- the first loss


class Large(nn.Module):
    def __init__(self, scale=30.0):
        super().__init__()
        self.body, self.scale = mlp()(), scale

    def forward(self, x):
        return self.body(x) * self.scale


class Leaking(nn.Module):
    """Gets the targets as its input."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(5) * 9)

    def forward(self, x):
        return x @ self.weight


def test_a_first_loss_far_above_uniform_is_found():
    assert found(parts(Large, F.cross_entropy, X, CLASS), "init/loss").status == "fail"
    summed = parts(Large, nn.CrossEntropyLoss(reduction="sum"), X, CLASS)
    assert found(summed, "init/loss").status == "fail"


def test_a_first_loss_far_below_the_prior_is_found():
    leak = parts(Leaking, F.cross_entropy, F.one_hot(CLASS).float(), CLASS)
    assert "knows the targets already" in found(leak, "init/loss").evidence


def test_a_regression_that_starts_far_off_is_found():
    def make():
        model = mlp(1)()
        nn.init.constant_(model[2].bias, 40)
        return model

    assert found(parts(make, F.mse_loss, X, VALUE), "init/loss").status == "warn"


def test_a_pretrained_model_is_not_held_against_the_prior():
    leak = parts(Leaking, F.cross_entropy, F.one_hot(CLASS).float(), CLASS, pretrained=True)
    report = labbook.check(leak, only=["init/loss"])
    assert "pretrained" in report.skipped[0].reason
    trained = parts(Leaking(), F.cross_entropy, F.one_hot(CLASS).float(), CLASS)
    assert alarms(labbook.check(trained | {"optimizer": None}, only=["init/loss"])) == []


def test_a_bias_is_proposed_for_a_rare_class_and_does_what_it_says():
    rare = (torch.arange(128) % 32 == 0).float()[:, None]
    subject = parts(mlp(1), nn.BCEWithLogitsLoss(), X, rare)
    [finding] = labbook.check(subject, only=["init/output-bias"]).findings
    assert finding.status == "note"
    assert finding.where.endswith(": 2 (Linear)")
    assert finding.limit < 0.5 * finding.value
    model = mlp(1)()
    exec(finding.fix, {"model": model, "torch": torch})
    assert model[2].bias.item() == pytest.approx(math.log(1 / 31), abs=0.6)
    balanced = labbook.check(CLEAN["binary"], only=["init/output-bias"])
    assert balanced.passed == ("init/output-bias",)


# ------------------------------------------------------------- equal weights


def filled(value, bias=None):
    def make():
        model = mlp()()
        for p in model.parameters():
            if p.ndim > 1:
                nn.init.constant_(p, value)
            elif bias is not None:
                nn.init.constant_(p, bias)
        return model

    return make


def test_zero_weights_are_found():
    finding = found(parts(filled(0.0, 0.0), F.cross_entropy, X, CLASS), "init/constant-output")
    assert finding.where.endswith(": 0 (Linear)")
    biased = found(parts(filled(0.0), F.cross_entropy, X, CLASS), "init/constant-weight")
    assert biased.where.endswith(": 0 (Linear)")


def test_dead_units_and_a_softmax_of_one_number_are_found():
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(12, 16), nn.Linear(16, 5)
            nn.init.constant_(self.one.bias, -1e3)

        def forward(self, x):
            return self.two(F.relu(self.one(x)))

    assert found(parts(Dead, F.cross_entropy, X, CLASS), "init/constant-output")
    alone = parts(mlp(1, nn.Softmax(1)), F.mse_loss, X, BINARY)
    assert found(alone, "init/constant-output")


def test_equal_rows_are_found():
    finding = found(parts(filled(0.1, 0.0), F.cross_entropy, X, CLASS), "init/symmetric-weight")
    assert finding.where == "0.weight"


def test_constant_weights_with_random_biases_are_found():
    assert found(parts(filled(0.1), F.cross_entropy, X, CLASS), "init/constant-weight")


class Opening(nn.Module):
    """A last layer that starts at zero."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(12, 16), nn.Linear(16, 5)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)))


def test_a_head_that_starts_at_zero_is_right():
    assert alarms(labbook.check(parts(Opening, F.cross_entropy, X, CLASS), only=RULES)) == []


# ------------------------------------------------------------- the gradient itself


class _Backwards(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, grad):
        return -grad


class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp()()

    def forward(self, x):
        return _Backwards.apply(self.body(x))


def test_a_backward_of_the_wrong_sign_is_found():
    assert found(parts(Turned, F.cross_entropy, X, CLASS), "grad/not-descent").value < 0


def test_passing_straight_through_is_only_noted():
    class Straight(Turned):
        def forward(self, x):
            x = self.body(x)
            return x + (x.round() - x).detach()

    report = labbook.check(parts(Straight, F.cross_entropy, X, CLASS), only=RULES)
    assert alarms(report) == []


def test_outputs_of_many_numbers_are_measured_on_few_examples():
    tokens = torch.randint(0, 3000, (24, 51), generator=torch.Generator().manual_seed(8))
    wide = lambda: nn.Sequential(nn.Embedding(3000, 8), nn.Linear(8, 3000))  # noqa: E731
    subject = parts(wide, sequence, tokens[:, :-1], tokens[:, 1:])
    report = labbook.check(subject | {"train": None}, only=["init", "loss"])
    assert alarms(report) == []
    assert "init/loss" in report.passed
    assert "too large" in {s.rule: s.reason for s in report.skipped}["init/output-bias"]
