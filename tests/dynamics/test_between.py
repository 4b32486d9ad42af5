"""Two runs side by side, and only where the examples are known to be the same."""

from __future__ import annotations

import numpy as np
import pytest

from labbook import dynamics
from labbook.dynamics import mcnemar
from tests.dynamics.making import choose, record
from tests.dynamics.test_measures import classes, column, data, scores_of


def test_who_learned_what_first(make):
    a = classes(make, [0, 1, 2, 0], {1: (0, 0, 0, 1), 2: (0, 1, 0, 1), 4: (0, 1, 0, 1)})
    b = classes(make, [0, 1, 2, 0], {1: (1, 1, 0, 1), 2: (0, 1, 0, 1), 3: (0, 1, 0, 0)})
    found = dynamics.between(a, b)
    assert (found.reason, found.caveat) == (None, None)
    assert (found.steps, found.step_a, found.step_b) == ((1, 2), 2, 2)
    table = found.table
    assert column(table, "first_correct_a") == [1, 2, None, None]
    # step 3 was not observed in a: what b learned then does not count
    assert column(table, "first_correct_b") == [2, 1, None, None]
    assert column(table, "first") == ["a", "b", "same", "same"]


def test_which_examples_only_one_gets_right(make):
    a = classes(make, [0, 1, 2, 0], {1: (0, 1, 2, 1)}, loss=np.float32([1, 2, 3, 4]))
    b = classes(make, [0, 1, 2, 0], {1: (0, 0, 0, 0)}, loss=np.float32([1, 4, 2, 4]))
    found = dynamics.between(a, b)
    assert found.only_right_in("a") == [1, 2]
    assert found.only_right_in("b") == [3]
    assert found.p_value == 1.0
    assert column(found.table, "loss_difference") == [0, 2, -1, 0]


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(0, 0, 1.0), (3, 3, 1.0), (0, 5, 2 / 32), (1, 9, 2 * 11 / 1024), (9, 1, 2 * 11 / 1024)],
)
def test_mcnemar_by_hand(only_a, only_b, p):
    assert mcnemar(only_a, only_b) == pytest.approx(p)


def test_without_a_common_step_each_run_speaks_for_itself_and_it_is_said(make):
    a, b = classes(make, [0], {1: (0,), 3: (0,)}), classes(make, [0], {2: (1,)})
    found = dynamics.between(a, b)
    assert found.is_comparable
    assert found.caveat.startswith("no step was observed in both runs")
    assert (found.step_a, found.step_b) == (3, 2)
    assert column(found.table, "first") == ["a"]


def test_runs_without_accuracy_are_not_said_to_be_even(make):
    runs = []
    for loss in (1, 2):
        run = make()
        journal = run.attempt()
        choose(journal, np.arange(4.0).reshape(2, 2))
        record(journal, 1, {"loss": np.float32([loss, loss])})
        runs.append(run.read())
    found = dynamics.between(*runs)
    assert found.p_value is None
    assert column(found.table, "first") == [None, None]
    assert column(found.table, "mean_loss_difference") == [1, 1]


def test_other_examples_are_not_compared_and_named(make):
    inputs, targets = data([0, 1, 2, 0])
    changed = inputs.copy()
    changed[1, 0] += 1
    runs = []
    for x, by in ((inputs, [0, 1, 2]), (changed, [0, 1, 3])):
        run = make()
        journal = run.attempt()
        choose(journal, (x, targets), by=by)
        record(journal, 1, {"output": scores_of(0, 1, 2)})
        runs.append(run.read())
    found = dynamics.between(*runs)
    assert not found.is_comparable
    assert found.reason == "the examples are not the same"
    assert found.table is None
    assert found.n_shared == 1
    assert found.differing.to_pylist() == [
        {"index": 1, "why": "other content"},
        {"index": 2, "why": "only in a"},
        {"index": 3, "why": "only in b"},
    ]
    assert found.only_right_in("a") == []
    assert found.p_value is None


def test_examples_whose_content_has_no_digest_are_not_taken_for_the_same(make):
    runs = []
    for _ in range(2):
        run = make()
        journal = run.attempt()
        choose(journal, [object(), object()], show=lambda _: "an object")
        record(journal, 1, {"loss": np.float32([1, 2])})
        runs.append(run.read())
    found = dynamics.between(*runs)
    assert found.reason == "whether the examples are the same is not known: a set has no digest"
    assert [row["why"] for row in found.differing.to_pylist()] == ["not known", "not known"]
