"""Side by side: series, metrics, and paired differences over the same examples."""

import numpy as np
import pytest

from labbook.compare import diff, examples_of
from labbook.watch.publish import publish, to_table
from labbook.watch.rows import Rows
from tests.compare.conftest import TRAIN


def evaluate(project, run, step, ids, columns, **meta):
    """A result as the watcher publishes it."""
    paths = project.book.run(run)
    about = {
        "format": 1, "run": run, "evaluation": "validation", "subset": "full",
        "coverage": "complete", "checkpoint": {"file": "x.pt", "step": step},
        "metrics": {name: float(np.mean(values)) for name, values in columns.items()},
        "data_digest": "sha256:d", "code": {"digest": "sha256:c"}, **meta,
    }  # fmt: skip
    table = to_table(Rows(np.asarray(ids), columns), about)
    assert publish(table, paths.result("validation", f"key{step}-{about['subset']}"), paths.root)


def compare(project, a, b):
    return diff(project.reader(a), project.reader(b)).results


@pytest.fixture
def runs(project):
    return project.train(), project.train("--lr", "0.5")


def test_series_of_both_runs(project, runs):
    [loss] = compare(project, *runs).series
    assert (loss.name, loss.a.last, loss.b.last) == ("loss", 0.251, 0.75)
    assert (loss.a.min, loss.a.max) == (0.251, 1.001)


def test_a_series_only_one_run_has(project, runs):
    other = project.train(code=TRAIN.replace("loss=1 /", "cost=1 /"))
    found = {pair.name: (pair.a is None, pair.b is None) for pair in compare(
        project, runs[0], other).series}  # fmt: skip
    assert found == {"loss": (False, True), "cost": (True, False)}


def test_the_chosen_set_is_paired_at_the_last_common_step(project, runs):
    shorter = project.train("--lr", "2", code=TRAIN.replace("range(4)", "range(3)"))
    [pair] = compare(project, runs[0], shorter).paired
    assert (pair.kind, pair.name, pair.column) == ("chosen", "chosen", "loss")
    assert (pair.step_a, pair.step_b) == (2, 2)
    # loss is example · lr + step, of examples 0 to 7
    assert pair.interval.n == 8
    assert pair.interval.difference == pytest.approx(3.5 * (2 - 0.001), rel=1e-5)
    assert pair.interval.is_clear


def test_evaluations_are_paired_by_example(project, runs):
    a, b = runs
    draw = np.random.default_rng(0)
    loss = draw.normal(size=50)
    evaluate(project, a, 100, range(50), {"loss": loss, "correct": loss > 0})
    evaluate(project, a, 10, range(50), {"loss": loss + 9, "correct": loss > 0})
    order = draw.permutation(50)
    evaluate(project, b, 90, order, {"loss": loss[order] + 1, "correct": loss[order] > 9})
    found = compare(project, a, b)
    assert [(m.metric, m.step_a, m.step_b) for m in found.metrics] == [
        ("loss", 100, 90),
        ("correct", 100, 90),
    ]
    by_column = {p.column: p for p in found.paired if p.kind == "evaluation"}
    assert by_column["loss"].interval.difference == pytest.approx(1)
    assert by_column["loss"].interval.low == pytest.approx(1)
    assert by_column["correct"].interval.difference == pytest.approx(-np.mean(loss > 0))
    assert by_column["loss"].caveat is None


def test_only_examples_of_both_are_paired(project, runs):
    evaluate(project, runs[0], 1, [1, 2, 3], {"loss": np.array([1.0, 2.0, 3.0])})
    evaluate(project, runs[1], 1, [3, 4], {"loss": np.array([5.0, 6.0])}, subset="mini")
    results = compare(project, *runs)
    [pair] = [p for p in results.paired if p.kind == "evaluation"]
    assert (pair.interval.n, pair.interval.difference, pair.interval.low) == (1, 2.0, None)
    assert (results.metrics[0].subset_a, results.metrics[0].subset_b) == ("full", "mini")


def test_the_examples_behind_a_pair(project, runs):
    evaluate(project, runs[0], 1, [1, 2, 3], {"loss": np.array([1.0, 2.0, np.nan])})
    evaluate(project, runs[1], 1, [4, 3, 2], {"loss": np.array([4.0, 3.0, 5.0])})
    readers = [project.reader(run) for run in runs]
    pairs = {pair.kind: pair for pair in compare(project, *runs).paired}
    ids, a, b = examples_of(*readers, pairs["evaluation"])
    assert ids.tolist() == [2, 3]
    np.testing.assert_array_equal([a, b], [[2.0, np.nan], [5.0, 3.0]])
    ids, a, b = examples_of(*readers, pairs["chosen"])
    assert ids.tolist() == list(range(8))
    assert float(np.mean(b - a)) == pytest.approx(pairs["chosen"].interval.difference)


def test_a_full_result_goes_before_a_newer_mini_one(project, runs):
    for run in runs:
        evaluate(project, run, 1, [1, 2], {"loss": np.array([1.0, 2.0])})
    evaluate(project, runs[0], 2, [1], {"loss": np.array([9.0])}, subset="mini")
    assert compare(project, *runs).metrics[0].step_a == 1


def test_other_data_are_not_paired(project, runs):
    evaluate(project, runs[0], 1, [1, 2], {"loss": np.array([1.0, 2.0])})
    evaluate(project, runs[1], 1, [1, 2], {"loss": np.array([1.0, 2.0])}, data_digest="sha256:e")
    found = compare(project, *runs)
    assert [p.kind for p in found.paired] == ["chosen"]
    assert "validation is not paired: it was computed over other data" in found.notes


def test_what_speaks_against_a_pairing_is_said(project, runs):
    for run, code in zip(runs, ("one", "two"), strict=True):
        evaluate(
            project, run, 1, [1, 2], {"loss": np.array([1.0, 2.0])},
            data_digest=None, code={"digest": code},
        )  # fmt: skip
    [pair] = [p for p in compare(project, *runs).paired if p.kind == "evaluation"]
    assert pair.caveat == (
        "whether the data are the same is not known; the evaluation's code differs"
    )


def test_an_example_that_appears_twice_is_not_paired(project, runs):
    for run in runs:
        evaluate(project, run, 1, [1, 1], {"loss": np.array([1.0, 2.0])})
    found = compare(project, *runs)
    assert "validation is not paired: an example appears twice" in found.notes


def test_a_damaged_result_is_said(project, runs):
    evaluate(project, runs[0], 1, [1, 2], {"loss": np.array([1.0, 2.0])})
    [path] = project.book.run(runs[0]).evaluations.glob("*/*.parquet")
    path.write_bytes(path.read_bytes()[:40])
    assert any(str(path) in note for note in compare(project, *runs).notes)


def test_the_text(project, runs):
    for run, extra in zip(runs, (0, 1), strict=True):
        loss = np.arange(20.0) + extra + 0.1 * extra * np.sin(np.arange(20))
        evaluate(project, run, 7, range(20), {"loss": loss})
    text = project.labbook("diff", *runs, "--only", "results")
    assert "chosen.loss  +1.746" in text
    assert "validation.loss  +1  [+0.9674, +1.033]  (20 examples, step 7)" in text
