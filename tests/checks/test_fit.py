"""Rules that train: the overfit ladder, the zero input, random features, the learning rate."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import labbook
from labbook.checks.batch import Batch
from labbook.checks.trainings import without_inputs
from tests.checks.programs_loop import PROGRAMS, classes, mlp, program

RULES = ["loop/*", "eval/*", "fit/*", "baseline/*", "optim/*"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def check(parts, **more):
    return labbook.check(parts, only=RULES, budget_s=300, **more)


def alarms(report):
    assert not report.crashed, report.crashed[0].trace
    return [f for f in report.causes if f.status != "note"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_clean_program_passes(name):
    report = check(PROGRAMS[name]())
    assert alarms(report) == [], str(report)
    assert {"loop/stale-grad", "loop/dry-run", "eval/params-changed"} <= set(report.passed)


def made(optimizer=None, model=None, **changed):
    return program(model or mlp(), F.cross_entropy, *classes(), optimizer, **changed)


def sgd(rate):
    return lambda m: torch.optim.SGD(m.parameters(), rate)


def test_a_rate_that_is_far_too_low_explains_what_is_not_fitted():
    [found] = alarms(check(made(lambda m: torch.optim.Adam(m.parameters(), 1e-6))))
    assert (found.rule, found.status) == ("optim/lr-too-low", "warn")
    report = check(made(lambda m: torch.optim.Adam(m.parameters(), 1e-6)))
    assert "fit/overfit-1" in [f.rule for f in report.folded]


def test_a_rate_at_the_edge():
    data = classes()
    parts = program(mlp(1), F.mse_loss, data[0], 3 * data[0][:, :1], sgd(0.5))
    found = alarms(check(parts))
    assert [f.rule for f in found][:1] in (["optim/lr-at-edge"], ["loop/nonfinite"])


class Bounded(nn.Module):
    """Can only answer with nearly equal probabilities."""

    def __init__(self):
        super().__init__()
        self.net = mlp()()

    def forward(self, x):
        return torch.sigmoid(self.net(x))


def test_outputs_that_cannot_reach_the_targets():
    [found] = alarms(check(made(model=Bounded, optimizer=sgd(0.5))))
    assert (found.rule, found.status, found.where) == ("fit/overfit-1", "fail", "1 example")


def test_strong_weight_decay():
    decayed = made(lambda m: torch.optim.SGD(m.parameters(), 0.05, weight_decay=5.0))
    report = check(decayed)
    assert [f.rule for f in alarms(report)] == ["optim/decay"]
    assert {f.rule for f in report.folded} & {"fit/overfit-1", "fit/overfit-few"}


def shuffled_targets():
    x, y = classes()
    return program(mlp(), F.cross_entropy, x, y[torch.randperm(len(y))])


def test_targets_that_belong_to_other_inputs():
    [found] = alarms(check(shuffled_targets()))
    assert (found.rule, found.status) == ("fit/zero-input", "fail")


def test_a_small_set_needs_no_val():
    parts = {**made(), "val": None, "evaluate": None}
    assert "fit/zero-input" in check(parts).passed
    x, y = classes(80)
    parts["loader"] = DataLoader(TensorDataset(x, y), 32)
    skipped = {s.rule: s.reason for s in check(parts).skipped}
    assert "fewer than 5 batches" in skipped["fit/zero-input"]


def test_what_cannot_be_told_is_skipped():
    parts = {**made(), "optimizer": None, "train": None}
    skipped = {s.rule: s.reason for s in check(parts).skipped}
    assert skipped["optim/lr-at-edge"] == "no optimizer= given"
    assert skipped["fit/zero-input"] == "no optimizer= given"


class Breaks(nn.Module):
    """The layer below is ruined by its own, much larger steps."""

    def __init__(self):
        super().__init__()
        self.below = nn.Linear(16, 64)
        self.head = nn.Linear(64, 4)

    def forward(self, x):
        return self.head(torch.tanh(self.below(x)))


def test_the_last_layer_alone_does_better():
    def optimizer(model):
        below = {"params": model.below.parameters(), "lr": 3.0, "weight_decay": 0.1}
        return torch.optim.SGD([below, {"params": model.head.parameters(), "lr": 0.3}])

    report = labbook.check(made(optimizer, Breaks), only=["baseline/*"])
    assert [(f.rule, f.status) for f in report.findings] == [("baseline/random-features", "warn")]


def test_inputs_are_emptied_and_nothing_else():
    mask = torch.tensor([[1, 1, 0]])
    kwargs = {"input_ids": torch.tensor([[3, 4, 5]]), "attention_mask": mask, "labels": mask}
    batch = Batch((torch.ones(2, 3),), kwargs, torch.ones(2), None)
    empty = without_inputs(batch)
    assert empty.args[0].eq(0).all()
    assert empty.kwargs["input_ids"].tolist() == [[3, 3, 3]]
    assert empty.kwargs["attention_mask"] is mask
    assert empty.kwargs["labels"] is mask
    assert empty.target.eq(1).all()
