"""Rules on data for recorded runs: what `run.inspect` counted of real forward passes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import labbook
from labbook.checks.running import check_run
from tests.checks.programs_data import gen, pictures, table


@pytest.fixture
def book(tmp_path):
    return tmp_path / "book"


def checked(book, x, y, *, model=None, val=None, loss=None, follow=False):
    """Train three epochs of nothing on this data, and check the run."""
    model = model or nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 8))
    loss = loss or nn.CrossEntropyLoss()
    with labbook.start({"lr": 1}, book=book, gauges=False, output=False, dirty="allow") as run:
        if follow:
            run.follow(model)
        looking = run.inspect(model, loss)
        for batch, target in zip(x.split(32), y.split(32), strict=True):
            loss(model(batch), target)
        if val is not None:
            model.eval()
            with torch.no_grad():
                model(val)
        looking.close(20)
        name = run.id
    opened = labbook.open(book)
    report = check_run(opened.run(name), opened, only=["data"])
    assert not report.crashed, report.crashed
    return report


def alarms(report):
    return {f.rule: f for f in report.causes if f.status != "note"}


def notes(report):
    return {f.rule for f in report.findings if f.status == "note"}


def test_a_clean_run_passes(book):
    x, y = table(256)
    report = checked(book, x, y, val=table(96, seed=1)[0])
    assert alarms(report) == {}
    assert {"data/not-standardized", "data/unshuffled", "data/train-val-shift"} <= set(
        report.passed
    )


def test_a_run_without_a_card_is_skipped(book):
    with labbook.start({"lr": 1}, book=book, gauges=False, output=False, dirty="allow") as run:
        run.log(loss=1.0)
    opened = labbook.open(book)
    report = check_run(opened.run(run.id), opened, only=["data"])
    assert report.findings == ()
    assert any("run.inspect" in s.reason for s in report.skipped)


def test_values_that_are_no_numbers(book):
    x, y = table(256)
    x[3, 0] = torch.nan
    found = alarms(checked(book, x, y))
    assert "1 NaN" in found["data/nonfinite"].evidence


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda x: x * 255, "data/not-standardized"),
        (lambda x: x / 255, "data/double-cast"),
        (lambda x: x * 0, "data/all-zero-inputs"),
    ],
)
def test_the_scale_of_pictures(book, change, rule):
    x, y = pictures(256)
    assert list(alarms(checked(book, change(x), y, loss=None, model=_net(144)))) == [rule]


def _net(d):
    return nn.Sequential(nn.Flatten(), nn.Linear(d, 8))


def test_a_followed_net_that_begins_with_a_norm(book):
    x, y = table(256)
    model = nn.Sequential(nn.BatchNorm1d(12), nn.Linear(12, 8))
    report = checked(book, x * 30 + 200, y, model=model, follow=True)
    assert alarms(report) == {}


def test_scales_of_features(book):
    x, y = table(256)
    small = torch.full((12,), 0.1)
    small[4] = 8
    assert list(alarms(checked(book, x * small, y))) == ["data/feature-scales"]


def test_cut_scores(book):
    x, y = table(256)
    assert alarms(checked(book, (x * 1.2).trunc(), y))["data/quantized"].status == "fail"


def test_evaluation_on_another_scale(book):
    x, y = table(256)
    report = checked(book, x, y, val=table(96, seed=1)[0] * 8 + 4)
    assert list(alarms(report)) == ["data/train-val-shift"]


def test_the_order_of_targets(book):
    x, y = table(256)
    order = y.argsort(stable=True)
    found = alarms(checked(book, x[order], y[order]))
    assert "data/unshuffled" in found


def test_targets_of_one_class_and_of_unequal_ones(book):
    x, y = table(256)
    assert "data/labels-constant" in alarms(checked(book, x, y * 0))
    rare = (torch.rand(256, generator=gen(1)) < 0.04).long()
    report = checked(book, x, rare)
    assert alarms(report) == {}
    assert "data/imbalance" in notes(report)


def test_grey_pictures_and_constant_features_are_notes(book):
    x, y = pictures(256, channels=3)
    x = x * (0.5 + torch.rand(256, 3, 1, 1, generator=gen(9)))
    x[[3, 50]] = x[[3, 50]].mean(1, keepdim=True)
    assert "data/grayscale-minority" in notes(checked(book, x, y))
    x, y = table(256)
    x[:, 2] = 1
    assert "data/constant-feature" in notes(checked(book, x, y))


def test_regression_targets_have_no_classes(book):
    x, _ = table(256)
    report = checked(book, x, x[:, :8].clone(), loss=nn.MSELoss())
    reasons = {s.rule: s.reason for s in report.skipped}
    assert "one class an example" in reasons["data/unshuffled"]
