"""Rules that look at a recorded run: real runs, with the curves that a mistake leaves behind."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import labbook
from labbook.checks.running import check_book, check_run
from labbook.errors import RunNotFound

RNG = np.random.default_rng(0)


@pytest.fixture
def book(tmp_path):
    return tmp_path / "book"


def record(book, *, args=None, chosen=None, losses=(), more=(), **how):
    """Record one run; `more` are (step, {name: value}), `chosen` (step, columns)."""
    with labbook.start(args or {"lr": 0.1}, book=book, gauges=False, output=False, **how) as run:
        for step, loss in enumerate(losses):
            run.log(loss=loss, step=step)
        for step, values in more:
            run.log(values, step=step)
        if chosen is not None:
            targets, rows = chosen
            data = [(np.zeros(2, np.float32), int(target)) for target in targets]
            followed = run.choose(data, n=len(data))
            order = list(followed.indices)
            for step, columns in rows:
                followed.record(step, **{n: np.asarray(v)[order] for n, v in columns.items()})
        return run.id


def checked(book, run_id, **how):
    opened = labbook.open(book)
    return check_run(opened.run(run_id), opened, **how)


def alarms(report):
    return {f.rule: f.status for f in report.findings if f.status != "note"}


def noisy(values, spread=0.02):
    return list(np.asarray(values) + spread * RNG.standard_normal(len(values)))


FALLING = 2.3 * np.exp(-np.arange(600) / 100) + 0.1


@pytest.mark.parametrize(
    ("losses", "rule"),
    [
        ([*noisy(FALLING[:300]), math.nan, *noisy(FALLING[300:])], "loss/nonfinite"),
        ([*noisy(FALLING[:300]), math.inf], "loss/nonfinite"),
        (noisy([*FALLING[:300], *np.linspace(0.3, 8, 300)]), "loss/diverging"),
        (noisy(np.full(400, 2.3)), "loss/no-progress"),
        (list(np.full(400, 2.3)), "loss/no-progress"),
        ([2.3 + 0.001 * (step % 7) for step in range(300)], "loss/no-progress"),
    ],
)
def test_what_a_loss_curve_tells(book, losses, rule):
    report = checked(book, record(book, losses=losses))
    assert alarms(report) == {rule: "fail"}
    assert not report.crashed


@pytest.mark.parametrize(
    "losses",
    [
        noisy(FALLING),
        noisy(FALLING, 0.3),
        noisy(np.full(30, 2.3)),  # too short to tell
        noisy(-np.linspace(1, 5, 500)),  # a likelihood: below zero, and falling
        noisy(np.linspace(2.3, 2.28, 800), 0.001),  # slow, and falling
        noisy([*FALLING[:200], *(FALLING[:200] * 0.5), *(FALLING[:200] * 0.4)]),  # restarts
        [1e-9 * v for v in noisy(FALLING)],
    ],
)
def test_sound_curves_alarm_nobody(book, losses):
    report = checked(book, record(book, losses=losses))
    assert alarms(report) == {}
    assert report.ok


def test_parts_of_a_loss_are_not_judged_by_its_rules(book):
    more = [(s, {"loss_d": 0.69, "loss_kl": 1.0 + s}) for s in range(300)]
    assert alarms(checked(book, record(book, more=more))) == {}


def test_the_prior_is_named_where_the_loss_stays(book):
    targets = [0] * 30 + [1] * 10
    prior = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    run = record(book, losses=noisy(np.full(300, prior), 0.001), chosen=(targets, []))
    [found] = [f for f in checked(book, run).findings if f.rule == "loss/no-progress"]
    assert "class frequencies" in found.evidence


def logits(classes, n_classes=3, scale=5.0):
    out = RNG.standard_normal((len(classes), n_classes)).astype(np.float32)
    out[np.arange(len(classes)), classes] += scale
    return out


TARGETS = np.arange(48) % 3


def test_one_answer_for_all_is_found(book):
    rows = [(0, {"output": logits(TARGETS, scale=0)}), (100, {"output": logits(TARGETS)})]
    rows += [(200, {"output": logits(np.zeros(48, int), scale=9)})]
    report = checked(book, record(book, chosen=(TARGETS, rows)))
    assert alarms(report) == {"out/constant": "fail"}


def test_what_is_forgotten_at_once_is_found(book):
    right = {"correct": np.ones(48, bool), "loss": np.full(48, 0.1, np.float32)}
    wrong = {"correct": np.arange(48) > 20, "loss": np.full(48, 2.0, np.float32)}
    rows = [(10 * k, wrong if k == 8 else right) for k in range(10)]
    report = checked(book, record(book, chosen=(TARGETS, rows)))
    assert alarms(report) == {"learn/forgetting": "warn"}
    [found] = [f for f in report.findings if f.rule == "learn/forgetting"]
    assert "between steps 70 and 80" in found.where


def test_losses_of_examples_that_are_not_finite_are_found(book):
    rows = [(0, {"loss": np.ones(48, np.float32)}), (9, {"loss": np.full(48, np.nan)})]
    report = checked(book, record(book, chosen=(TARGETS, rows)))
    assert alarms(report) == {"out/nonfinite": "fail"}


def test_the_hardest_all_along_is_worth_a_look(book):
    base = RNG.random(48).astype(np.float32)
    base[7] = 40.0
    rows = [(k, {"loss": base / (1 + k)}) for k in range(6)]
    report = checked(book, record(book, chosen=(TARGETS, rows)))
    assert [(f.rule, f.status) for f in report.findings if f.rule.startswith("learn")] == [
        ("learn/label-suspect", "note")
    ]
    assert report.ok


def test_gaps_between_training_and_held_out_are_notes(book):
    losses = noisy(np.linspace(2, 0.1, 500), 0.001)
    rising = [(99 + 100 * k, {"val_loss": v}) for k, v in enumerate((1.0, 0.8, 0.9, 1.0, 1.2))]
    report = checked(book, record(book, losses=losses, more=rising))
    assert ("gap/train-eval", "note") in {(f.rule, f.status) for f in report.findings}
    assert alarms(report) == {}


def names(report):
    return {f.rule for f in report.findings}


def test_what_only_the_book_tells(book):
    for lr in (0.1, 0.2, 0.4, 0.8):
        for width in (8, 16, 32):
            record(
                book,
                args={"lr": lr, "width": width},
                losses=noisy(FALLING[:100] - lr - width / 100, 0.001),
                group="grid",
            )
    newest = labbook.open(book).ids()[0]
    report = checked(book, newest)
    assert {"ledger/grid", "ledger/best-at-boundary", "ledger/never-diverged"} <= names(report)
    assert not report.crashed
    assert report.ok, "the ledger's own are notes"


def test_a_random_search_is_no_grid(book):
    for _ in range(10):
        lr, width = float(RNG.random()), float(RNG.random())
        record(book, args={"lr": lr, "width": width}, losses=noisy(FALLING[:60]), group="random")
    assert "ledger/grid" not in names(checked(book, labbook.open(book).ids()[0]))


def test_two_changes_at_once_are_counted(book):
    record(book, args={"lr": 0.1, "width": 8})
    two = record(book, args={"lr": 0.2, "width": 16})
    [found] = [f for f in checked(book, two).findings if f.rule == "ledger/many-changes"]
    assert found.value == 2
    one = record(book, args={"lr": 0.3, "width": 16})
    assert "ledger/many-changes" not in names(checked(book, one))


def test_sets_that_differ_within_a_group_are_a_warning(book):
    record(book, chosen=(TARGETS, []), group="g")
    other = record(book, chosen=(TARGETS[:24], []), group="g")
    assert alarms(checked(book, other)) == {"ledger/mini-changed": "warn"}


def test_what_the_project_allowed_is_known_later(book, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.labbook.check.allow]\n"loss/no-progress" = "a random policy"\n'
    )
    (tmp_path / "train.py").write_text(
        f"import labbook\nwith labbook.start(book={str(book)!r}, gauges=False) as run:\n"
        "    for step in range(400):\n        run.log(loss=2.3, step=step)\n"
    )
    subprocess.run([sys.executable, "train.py"], cwd=tmp_path, check=True, capture_output=True)
    report = checked(book, labbook.open(book).ids()[0])
    assert alarms(report) == {}
    assert [(f.rule, f.reason) for f in report.allowed] == [("loss/no-progress", "a random policy")]


def test_the_newest_run_is_taken_and_an_empty_book_is_said(book):
    record(book, name="old")
    record(book, name="new", losses=noisy(FALLING))
    newest = labbook.open(book).ids()[0]
    assert check_book(labbook.open(book)).subject == labbook.open(book).run(newest).name
    (book / "runs").rename(book / "gone")
    (book / "runs").mkdir()
    with pytest.raises(RunNotFound, match="no run yet"):
        check_book(labbook.open(book))
