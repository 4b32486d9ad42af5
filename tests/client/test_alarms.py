"""A followed net says while it trains what will come to nothing: once, and as an event."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import labbook
from labbook.checks.running import check_run

X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
Y = X[:, :1]


def trained(book, *, clears=True, mode=True, accumulate=1, steps=40):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with labbook.start({}, book=book, gauges=False, output=False) as run:
        run.follow(model, optimizer)
        model.train(mode)
        for step in range(steps):
            if clears:
                optimizer.zero_grad()
            for _ in range(accumulate):
                loss = F.mse_loss(model(X), Y) / accumulate
                loss.backward()
            optimizer.step()
            run.log(loss=loss, step=step)
        return run.id


def events(book, run):
    found = labbook.open(book).run(run).events().to_pylist()
    return [event["text"] for event in found if event["kind"] == "finding"]


@pytest.mark.parametrize(
    ("how", "word", "rule"),
    [
        ({"clears": False}, "zero_grad", "loop/stale-grad"),
        ({"mode": False}, "evaluation mode", None),
    ],
)
def test_it_is_said_once_and_written(tmp_path, capfd, how, word, rule):
    run = trained(tmp_path, **how)
    [text] = events(tmp_path, run)
    assert word in text
    assert capfd.readouterr().err.count(word) == 1
    if rule is not None:
        opened = labbook.open(tmp_path)
        found = check_run(opened.run(run), opened).findings
        assert (rule, "fail") in {(f.rule, f.status) for f in found}


@pytest.mark.parametrize("accumulate", [1, 4])
def test_a_sound_loop_is_left_in_peace(tmp_path, accumulate):
    run = trained(tmp_path, accumulate=accumulate)
    assert events(tmp_path, run) == []
    opened = labbook.open(tmp_path)
    report = check_run(opened.run(run), opened)
    assert "loop/stale-grad" in report.passed
