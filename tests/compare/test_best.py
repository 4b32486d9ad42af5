"""The best of a run's results: order, ties, what is not finite, and differences beyond noise."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labbook.book.results import Results
from labbook.compare.best import Best, last_against_best, ranking
from labbook.compare.gaps import gap_between, mean_gap
from labbook.compare.paired import paired_interval
from labbook.direction import direction, mode_of
from labbook.errors import MisuseError, StoreError
from labbook.paths import RunPaths

Rows = list[float]


class Run:
    """A run's results, written as the worker writes them."""

    def __init__(self, root: Path) -> None:
        self.paths = RunPaths(root)
        self.n = 0

    def add(self, step: int | None, values: Rows, **more: object) -> None:
        self.n += 1
        metric = str(more.pop("metric", "accuracy"))
        evaluation = str(more.pop("evaluation", "validation"))
        mean = float(np.mean(values))
        columns = more.pop("columns", {})
        told = more.pop("told", mean if math.isfinite(mean) else None)
        meta = {
            "format": 1,
            "checkpoint": {"step": step, "digest": f"zip:{step}", "file": f"step-{step}.pt"},
            "metrics": {metric: told},
            "stderr": {metric: 0.1},
            "subset": "full",
            "coverage": "complete",
            "data_digest": "sha256:1",
            "settings": {"weight": None},
            "code": {"digest": "sha256:c"},
            "n_examples": len(values),
            "ended_ns": self.n,
            **more,
        }
        path = self.paths.evaluations / evaluation / f"{self.n:04}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"example": list(range(len(values))), metric: values, **columns})
        pq.write_table(table.replace_schema_metadata({"labbook": json.dumps(meta)}), path)

    def results(self):
        found = Results(self.paths)
        found.refresh()
        assert found.damage == {}
        return found.all()

    def steps(self, metric: str = "accuracy", **options: object) -> list[int | None]:
        ranked = ranking(self.results(), metric, **options)  # type: ignore[arg-type]
        return [result.step for result in ranked.results]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("loss", "min"), ("val/loss", "min"), ("arc.acc_norm", "max"), ("accuracy", "max"),
        ("error", "min"), ("wer", "min"), ("perplexity", "min"), ("top5", "max"), ("f1", "max"),
        ("map50", "max"), ("mAP", "max"), ("answer", None), ("speed", None),
        ("fid", "min"), ("map", "max"), ("ppl", "min"), ("r2", "max"), ("exact_match", "max"),
        ("loss/speed", None), ("loss_accuracy", None), ("tower", None), ("remap_count", None),
    ],
)  # fmt: skip
def test_a_name_says_what_is_better_or_nothing(metric: str, expected: str | None):
    assert direction(metric) == expected


def test_a_mode_is_asked_for_where_the_name_says_nothing():
    assert mode_of("speed", "max") == "max"
    assert mode_of("loss", "max") == "max"
    with pytest.raises(MisuseError, match="'speed' does not say whether more or less"):
        mode_of("speed", "auto")
    with pytest.raises(MisuseError, match="mode must be 'min', 'max' or 'auto', got 'most'"):
        mode_of("loss", "most")


def test_the_order_and_ties_and_what_is_not_finite(run: Run):
    for step, value in ((1, 0.5), (2, 0.9), (3, math.nan), (4, 0.9), (5, 0.7), (None, 0.9)):
        run.add(step, [value, value])
    assert run.steps() == [2, 4, None, 5, 1, 3]  # ties: the earliest; not finite: last
    assert run.steps(mode="min") == [1, 5, 2, 4, None, 3]
    ranked = ranking(run.results(), "validation.accuracy")
    assert ranked.metric == "accuracy"
    assert ranked.best is not None
    assert ranked.best.step == 2
    assert math.isnan(ranked.value(ranked.results[-1]))


def test_nothing_finite_has_no_best(run: Run):
    run.add(1, [math.nan])
    assert ranking(run.results(), "accuracy").best is None


def test_mini_and_full_results_are_never_ranked_together(run: Run):
    run.add(1, [0.1], subset="full")
    run.add(1, [0.9], subset="mini")
    run.add(2, [0.8], subset="mini")
    assert run.steps() == [1]
    assert ranking(run.results(), "accuracy").subset == "full"
    assert run.steps(subset="mini") == [1, 2]


def test_only_mini_results_are_said_to_be(run: Run):
    run.add(1, [0.9], subset="mini")
    ranked = ranking(run.results(), "accuracy")
    assert ranked.subset == "mini"
    assert "on the mini set: nothing was evaluated in full" in ranked.notes
    with pytest.raises(MisuseError, match="no results on the full set; it has mini"):
        ranking(run.results(), "accuracy", subset="full")


def test_what_cannot_be_compared_is_left_out_and_said(run: Run):
    run.add(1, [0.99], data_digest="sha256:old")
    run.add(2, [0.5])
    run.add(3, [0.6], code={"digest": "sha256:old"})
    run.add(2, [0.7], coverage="unverified")
    ranked = ranking(run.results(), "accuracy")
    assert [(r.step, r.metrics["accuracy"]) for r in ranked.results] == [(2, 0.7), (3, 0.6)]
    assert ranked.notes == (
        "1 results over other data are left out",
        "1 older results of the same checkpoints are left out",
        "the evaluation's code is not the same in all of them",
        "1 of them do not say whether each example was there",
    )


def test_what_there_is_is_named_where_it_is_asked_wrongly(run: Run):
    with pytest.raises(StoreError, match="no checkpoint of this run has a result yet"):
        ranking([], "accuracy")
    run.add(1, [0.5])
    run.add(1, [0.5], evaluation="test")
    with pytest.raises(MisuseError, match="no result has a metric 'acc'; there are test"):
        ranking(run.results(), "acc")
    with pytest.raises(MisuseError, match="several evaluations have 'accuracy': test, validation"):
        ranking(run.results(), "accuracy")
    with pytest.raises(MisuseError, match="no evaluation 'val'; there are test, validation"):
        ranking(run.results(), "accuracy", evaluation="val")
    assert run.steps("test.accuracy") == [1]
    assert run.steps(evaluation="test") == [1]


# -- paired differences -------------------------------------------------------------------------

PAIRS = st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=40)


@given(PAIRS)
def test_a_gap_is_the_paired_interval(pairs: list[tuple[float, float]]):
    a, b = np.asarray(pairs).T
    gap, interval = mean_gap(b, a, np.ones(len(a))), paired_interval(a, b)
    assert gap is not None
    assert gap.n == interval.n
    assert gap.difference == pytest.approx(interval.difference, abs=1e-9)
    assert gap.low == pytest.approx(interval.low, abs=1e-6)
    assert gap.high == pytest.approx(interval.high, abs=1e-6)
    assert gap.stderr == pytest.approx(np.std(b - a, ddof=1) / math.sqrt(len(a)), abs=1e-9)


@given(st.lists(st.tuples(st.floats(-9, 9), st.integers(1, 5)), min_size=2, max_size=20))
def test_a_weighted_mean_difference_is_that_of_the_weighted_means(pairs):
    a = np.asarray([value for value, _ in pairs])
    b = np.roll(a, 1)
    weights = np.asarray([float(weight) for _, weight in pairs])
    gap = mean_gap(a, b, weights)
    assert gap is not None
    expected = np.average(a, weights=weights) - np.average(b, weights=weights)
    assert gap.difference == pytest.approx(expected, abs=1e-9)


def test_pairs_tell_noise_from_more_where_single_errors_do_not(run: Run):
    hard = np.linspace(0, 10, 50)  # examples differ far more than checkpoints do
    run.add(1, list(hard), metric="loss")
    run.add(2, list(hard - 0.01), metric="loss")
    run.add(3, list(hard + np.tile([0.5, -0.5], 25)), metric="loss")
    first, second, third = run.results()
    gap, _ = gap_between(first, second, "loss")
    assert gap is not None
    assert (gap.n, round(gap.difference, 4), gap.is_noise) == (50, 0.01, False)
    gap, _ = gap_between(third, first, "loss")
    assert gap is not None
    assert gap.is_noise


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"metrics_source": "reduce"}, "the metric is no mean over rows"),
        ({"metric": "f1"}, "the rows have no column 'accuracy'"),
        ({"settings": {"weight": "n"}, "columns": {"n": [1.0, 2.0]}}, "other weights in the two"),
    ],
)
def test_what_cannot_be_paired_says_why(run: Run, more: dict, why: str):
    run.add(1, [0.5, 0.6])
    run.add(2, [0.5, 0.7], **more)
    gap, told = gap_between(*run.results(), "accuracy")
    assert gap is None
    assert why in str(told)


def test_truths_are_paired_and_one_pair_has_no_interval(run: Run):
    run.add(1, [True, False, True])  # type: ignore[list-item]
    run.add(2, [True, True, True])  # type: ignore[list-item]
    gap, _ = gap_between(*reversed(run.results()), "accuracy")
    assert gap is not None
    assert gap.difference == pytest.approx(1 / 3)
    one = mean_gap(np.ones(1), np.zeros(1), np.ones(1))
    assert one is not None
    assert (one.stderr, one.is_noise) == (None, True)


def test_where_the_newest_stands(run: Run):
    run.add(1, [0.5, 0.6])
    run.add(2, [0.8, 0.9])
    run.add(3, [0.7, 0.9])
    run.add(3, [1.0], metric="speed", evaluation="other")  # says nothing of what is better
    (standing,) = last_against_best(run.results())
    assert standing.newest.step == 3
    assert standing.before is not None
    assert standing.before.step == 2
    assert standing.gap is not None
    assert standing.gap.difference == pytest.approx(-0.05)


def test_a_best_names_those_within_noise(run: Run):
    for step, values in ((1, [0.1, 0.9]), (2, [0.9, 0.2]), (3, [-9.0, -9.0])):
        run.add(step, values)
    ranked = ranking(run.results(), "accuracy")
    gaps = tuple(gap_between(r, ranked.results[0], "accuracy")[0] for r in ranked.results[1:])
    assert [r.step for r in Best(ranked, gaps, None).within_noise] == [1]
