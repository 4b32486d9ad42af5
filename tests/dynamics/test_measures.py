"""Measures worked out by hand, and what is null where nothing was recorded."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

import labbook
from labbook import dynamics
from labbook.dynamics.calibration import calibration_error
from labbook.dynamics.cartography import regions
from labbook.dynamics.grid import Grid
from labbook.dynamics.losses import far_out
from labbook.errors import MisuseError, StoreError
from tests.dynamics.making import choose, record

NAN, INF = math.nan, math.inf


def data(targets):
    return np.arange(2.0 * len(targets)).reshape(-1, 2), np.asarray(targets)


def scores_of(*predictions, n_classes=3):
    """Logits whose highest is the class named."""
    return 5 * np.eye(n_classes, dtype=np.float32)[list(predictions)]


def classes(make, targets, observations, **more):
    """A run in which these classes were predicted: step -> a class for each example."""
    run = make()
    journal = run.attempt()
    choose(journal, data(targets))
    for step, predicted in observations.items():
        record(journal, step, {"output": scores_of(*predicted), **more})
    return run.read()


def column(table, name):
    return table.column(name).to_pylist()


# ---------------------------------------------------------------- learned and forgotten


def test_learned_forgotten_and_never_learned(make):
    run = classes(
        make,
        [0, 1, 2, 0],
        {10: (1, 1, 0, 0), 20: (0, 1, 0, 1), 30: (1, 1, 1, 0), 40: (0, 1, 0, 1)},
    )
    table = dynamics.examples(run)
    assert column(table, "first_correct") == [20, 10, None, 10]
    assert column(table, "stays_correct_from") == [40, 10, None, None]
    assert column(table, "forgettings") == [1, 0, 0, 2]
    assert column(table, "status") == ["forgotten", "unforgettable", "never learned", "forgotten"]
    assert column(table, "correctness") == [0.5, 1.0, 0.0, 0.5]
    assert column(table, "is_right_last") == [True, True, False, False]
    assert column(table, "n_changes") == [3, 0, 2, 3]
    assert column(table, "last_prediction") == [0, 1, 0, 1]
    steps = dynamics.steps(run)
    assert column(steps, "accuracy") == [0.5, 0.5, 0.5, 0.5]
    assert column(steps, "n_learned") == [2, 1, 1, 1]
    assert column(steps, "n_forgotten") == [0, 1, 1, 1]
    assert column(steps, "agreement") == [None, 0.5, 0.25, 0.25]
    assert column(dynamics.history(run, 3), "event") == [
        "learned",
        "forgotten",
        "learned",
        "forgotten",
    ]


def test_an_observation_that_misses_an_example_is_passed_over(make):
    run = make()
    journal = run.attempt()
    choose(journal, data([0, 1]))
    record(journal, 1, {"output": scores_of(0, 1)})
    record(journal, 2, {"output": scores_of(0)}, examples=[1])
    record(journal, 3, {"output": scores_of(1, 1)})
    reader = run.read()
    table = dynamics.examples(reader)
    assert column(table, "n_observed") == [2, 3]
    assert column(table, "forgettings") == [1, 1]
    assert column(table, "stays_correct_from") == [None, 3]
    steps = dynamics.steps(reader)
    assert column(steps, "n_observed") == [2, 1, 2]
    assert column(steps, "agreement") == [None, 0.0, 0.0]
    assert column(steps, "accuracy") == [1.0, 0.0, 0.5]
    assert column(dynamics.pairs(reader, [0, 1], 2), "prediction") == [None, 0]


def test_a_recorded_correct_wins_over_the_prediction(make):
    run = classes(make, [0, 1], {1: (1, 1)}, correct=np.array([True, False]))
    assert column(dynamics.examples(run), "is_right_last") == [True, False]


def test_a_single_observation(make):
    run = classes(make, [0, 1, 2], {7: (0, 0, 2)})
    table = dynamics.examples(run)
    assert column(table, "status") == ["unforgettable", "never learned", "unforgettable"]
    assert column(table, "variability") == [0.0, 0.0, 0.0]
    assert column(table, "region") == [None, None, None]
    steps = dynamics.steps(run)
    assert column(steps, "agreement") == [None]
    assert column(steps, "output_change") == [None]


def test_rows_that_a_later_attempt_superseded_do_not_count(make):
    run = make()
    first = run.attempt(1)
    choose(first, data([0, 1]))
    for step, predicted in ((1, (0, 0)), (2, (0, 1)), (3, (1, 1))):
        record(first, step, {"output": scores_of(*predicted), "loss": np.float32([9, step])})
    second = run.attempt(2, resume_step=3)
    record(second, 3, {"output": scores_of(0, 1), "loss": np.float32([1, 1])})
    table = dynamics.examples(run.read())
    assert column(table, "n_observed") == [3, 3]
    assert column(table, "forgettings") == [0, 0]
    assert column(table, "mean_loss") == [19 / 3, 4 / 3]


def test_a_step_observed_twice_counts_once(make):
    run = make()
    journal = run.attempt()
    choose(journal, data([0, 1]))
    record(journal, 5, {"loss": np.float32([1, 2])})
    record(journal, 5, {"output": scores_of(0, 0)})
    record(journal, 6, {"loss": np.float32([3, 4])})
    record(journal, 6, {"loss": np.float32([5, 6])})
    reader = run.read()
    assert column(dynamics.examples(reader), "mean_loss") == [3.0, 4.0]
    assert column(dynamics.steps(reader), "accuracy") == [0.5, None]
    [note] = dynamics.notes(dynamics.read(reader))
    assert note == "4 rows are of steps observed again: of each column the last counts"


# ---------------------------------------------------------------- the loss


def test_quartiles_are_losses_that_some_example_has(make):
    run = make()
    journal = run.attempt()
    choose(journal, data([0] * 5))
    record(journal, 1, {"loss": np.float32([4, 0, 3, 1, 2])})
    record(journal, 2, {"loss": np.float32([NAN, 1, INF, 3, 2])})
    record(journal, 3, {"loss": np.float32([NAN] * 5)})
    reader = run.read()
    steps = dynamics.steps(reader)
    words = ("min", "q1", "median", "q3", "max")
    rows = steps.to_pylist()
    assert [rows[0][f"{word}_loss"] for word in words] == [0, 1, 2, 3, 4]
    assert [rows[0][f"{word}_example"] for word in words] == [1, 3, 4, 2, 0]
    # of three finite losses: 1, 2, 3
    assert [rows[1][f"{word}_loss"] for word in words] == [1, 1, 2, 3, 3]
    assert [rows[2][f"{word}_loss"] for word in words] == [None] * 5
    assert column(steps, "n_nonfinite") == [0, 2, 5]
    assert column(steps, "mean_loss") == [2.0, 2.0, None]
    found = dynamics.quantiles(reader, step=1)
    assert column(found, "quantile") == [0, 0.25, 0.5, 0.75, 1]
    assert column(found, "example") == [1, 3, 4, 2, 0]
    assert column(found, "loss") == [0, 1, 2, 3, 4]
    assert dynamics.quantiles(reader).num_rows == 0


def test_a_loss_that_is_not_finite_stays_visible(make):
    run = make()
    journal = run.attempt()
    choose(journal, data([0, 1, 2]))
    record(journal, 1, {"loss": np.float32([1, NAN, NAN])})
    record(journal, 2, {"loss": np.float32([INF, 2, NAN])})
    first, second, third = dynamics.examples(run.read()).to_pylist()
    assert (first["first_loss"], first["last_loss"], first["max_loss"]) == (1, INF, 1)
    assert math.isnan(second["first_loss"])
    assert [row["n_nonfinite"] for row in (first, second, third)] == [1, 1, 2]
    assert [row["mean_loss"] for row in (first, second, third)] == [1, 2, None]
    assert [row["suspect_rank"] for row in (first, second, third)] == [2, 1, None]


def test_far_out_is_three_interquartile_ranges_above_the_quartile():
    # quartiles 2 and 4: the fence is at 4 + 3 * 2
    assert far_out(np.array([1.0, 2, 3, 4, 10])).tolist() == [False] * 5
    assert far_out(np.array([1.0, 2, 3, 4, 10.1])).tolist() == [False] * 4 + [True]
    assert not far_out(np.array([1.0, 1, 100])).any()


# ---------------------------------------------------------------- the data map


def test_confidence_and_variability_are_mean_and_standard_deviation(make):
    run = make()
    journal = run.attempt()
    choose(journal, data([0, 1, -100]))
    for step, p in ((1, 0.2), (2, 0.6)):
        record(journal, step, {"output": np.float32([[p, 1 - p], [p, 1 - p], [p, 1 - p]])})
    seen = dynamics.read(run.read())
    assert seen.scores.kind == "probabilities"
    table = dynamics.examples(seen)
    assert column(table, "confidence") == pytest.approx([0.4, 0.6, None])
    assert column(table, "variability") == pytest.approx([0.2, 0.2, None])
    assert column(table, "status")[2] is None


def test_regions_are_thirds():
    confidence = np.array([0.9, 0.8, 0.5, 0.45, 0.1, 0.2, NAN])
    variability = np.array([0.0, 0.1, 0.4, 0.3, 0.1, 0.1, NAN])
    assert regions(confidence, variability, 2).tolist() == [
        "easy",
        "easy",
        "ambiguous",
        "ambiguous",
        "hard",
        "hard",
        None,
    ]
    assert not regions(confidence, variability, 1).any()


# ---------------------------------------------------------------- class scores


LOGITS = np.float32([[2, 1, 0], [0, 3, -1]])


def cross_entropy(logits, targets):
    return np.float32(
        [
            math.log(sum(math.exp(x) for x in row)) - row[t]
            for row, t in zip(logits, targets, strict=True)
        ]
    )


@pytest.mark.parametrize(
    ("output", "loss", "kind", "basis"),
    [
        (LOGITS, cross_entropy(LOGITS, (0, 1)), "logits", "the recorded loss is the cross-entropy"),
        (LOGITS, np.float32([7, 7]), "logits", "assumed"),
        (LOGITS, None, "logits", "assumed"),
        (
            np.exp(LOGITS) / np.exp(LOGITS).sum(1)[:, None],
            None,
            "probabilities",
            "none is negative",
        ),
        (
            LOGITS - np.log(np.exp(LOGITS).sum(1))[:, None],
            None,
            "log-probabilities",
            "the exponentials of each row sum to 1",
        ),
    ],
)
def test_logits_and_probabilities_are_told_apart(make, output, loss, kind, basis):
    run = make()
    journal = run.attempt()
    choose(journal, data([0, 1]))
    columns = {"output": np.float32(output)} | ({} if loss is None else {"loss": loss})
    record(journal, 1, columns)
    seen = dynamics.read(run.read())
    assert seen.scores.kind == kind
    assert seen.scores.basis.startswith(basis)
    expected = [math.exp(-x) for x in cross_entropy(LOGITS, (0, 1))]
    assert column(dynamics.examples(seen), "confidence") == pytest.approx(expected, abs=1e-6)


def test_what_scores_are_can_be_said(make):
    run = classes(make, [0, 1], {1: (0, 1)})
    seen = dynamics.read(run, scores="probabilities")
    assert (seen.scores.kind, seen.scores.basis) == ("probabilities", "as asked")
    with pytest.raises(MisuseError, match='"logits", "log-probabilities" or "prob'):
        dynamics.read(run, scores="margins")


def test_an_output_that_is_not_finite_is_counted_and_left_out(make):
    run = make()
    journal = run.attempt()
    choose(journal, data([0, 1]))
    record(journal, 1, {"output": np.float32([[NAN, 1], [-INF, 0]])})
    seen = dynamics.read(run.read())
    assert column(dynamics.examples(seen), "confidence") == [None, 1.0]
    assert "1 outputs are not finite; no score is taken of them" in dynamics.notes(seen)


@pytest.mark.parametrize(
    ("output", "target"),
    [
        (np.zeros((2, 3, 4), np.float32), [0, 1]),  # an image or a sequence each
        (np.zeros((2, 3), np.float32), [0, 7]),  # 7 is none of three classes
        (np.zeros((2, 1), np.float32), [0, 1]),  # a logit or a number: it does not say
        (np.zeros(2, np.float32), [0, 1]),
        (np.zeros((2, 3), np.float32), [0.0, 1.0]),
    ],
)
def test_other_outputs_are_no_class_scores(make, output, target):
    run = make()
    journal = run.attempt()
    choose(journal, data(target))
    record(journal, 1, {"output": output})
    seen = dynamics.read(run.read())
    assert seen.scores is None
    for table, names in (
        (dynamics.examples(seen), ("confidence", "region", "status", "last_prediction")),
        (dynamics.steps(seen), ("accuracy", "calibration_error", "agreement", "top_share")),
    ):
        assert all(table.column(name).null_count == table.num_rows for name in names)
    assert any("are not compared with targets" in note for note in dynamics.notes(seen))


def test_calibration_error_by_hand():
    # bins of thirds: 0.5 in the second, 1/3 in the first, 0.9 and 1.0 in the third
    top = Grid(
        np.array([[0.5], [1 / 3], [0.9], [1.0], [0.7]]), np.array([[1], [1], [1], [1], [0]]) > 0
    )
    right = Grid(np.array([[1], [0], [1], [0], [1]]), np.ones((5, 1), bool))
    by_hand = (abs(1 - 0.5) + abs(0 - 1 / 3) + abs(1 - 1.9)) / 4
    assert calibration_error(top, right, 3)[0] == pytest.approx(by_hand)


def test_a_net_that_says_one_thing_is_seen_to_collapse(make):
    run = classes(make, [0, 1, 2, 0], {1: (0, 1, 2, 0), 2: (1, 1, 1, 1)})
    steps = dynamics.steps(run)
    assert column(steps, "total_variation") == [0.0, 0.75]
    assert column(steps, "top_class") == [0, 1]
    assert column(steps, "top_share") == [0.5, 1.0]
    assert column(steps, "n_classes") == [3, 1]
    assert column(steps, "output_variance")[1] == pytest.approx(0)
    assert dynamics.histogram(run).to_pylist() == [
        {"class": 0, "predicted": 0, "target": 2},
        {"class": 1, "predicted": 4, "target": 1},
        {"class": 2, "predicted": 0, "target": 1},
    ]


def test_predictions_that_are_lists_are_compared_and_not_counted(make):
    run = make()
    journal = run.attempt()
    choose(journal, ["one", "two"])
    record(journal, 1, {"prediction": np.array([[1, 2], [3, 4]])})
    record(journal, 2, {"prediction": np.array([[1, 2], [3, 5]])})
    record(journal, 3, {"prediction": np.array([[1, 2, 3], [3, 5, 3]])})
    reader = run.read()
    assert column(dynamics.examples(reader), "n_changes") == [1, 2]
    assert column(dynamics.examples(reader), "last_prediction") == [None, None]
    steps = dynamics.steps(reader)
    assert column(steps, "agreement") == [None, 0.5, 0.0]
    assert column(steps, "top_share") == [None, None, None]


# ---------------------------------------------------------------- real numbers


def test_regression_has_errors_and_no_classes(make):
    run = make()
    journal = run.attempt()
    choose(journal, data(np.float32([1, 3])))
    record(journal, 1, {"output": np.float32([2, 2]), "loss": np.float32([1, 1])})
    record(journal, 2, {"output": np.float32([[1], [2]])[:, 0], "loss": np.float32([0, 1])})
    seen = dynamics.read(run.read())
    assert dynamics.notes(seen) == []
    table = dynamics.examples(seen)
    assert column(table, "first_error") == [1, 1]
    assert column(table, "last_error") == [0, 1]
    assert column(table, "mean_error") == [0.5, 1]
    assert column(table, "error_variability") == [0.5, 0]
    assert column(table, "status") == [None, None]
    steps = dynamics.steps(seen)
    assert column(steps, "error") == pytest.approx([1, math.sqrt(0.5)])
    assert column(steps, "bias") == [0, -0.5]
    assert column(steps, "r_squared") == [0, 0.5]
    assert column(steps, "output_change") == [None, 0.5]
    assert column(steps, "output_variance") == [0, 0.25]
    assert column(steps, "agreement") == [None, None]


def test_targets_of_several_numbers(make):
    run = make()
    journal = run.attempt()
    choose(journal, (np.zeros((2, 2), np.float32), np.float32([[0, 0], [1, 1]])))
    record(journal, 1, {"output": np.float32([[3, 4], [1, 1]])})
    seen = dynamics.read(run.read())
    assert column(dynamics.examples(seen), "mean_error") == pytest.approx([math.sqrt(12.5), 0])
    assert column(dynamics.steps(seen), "r_squared") == [None]


def test_an_output_of_nan_is_seen_in_the_error(make):
    run = make()
    journal = run.attempt()
    choose(journal, data(np.float32([1, 3])))
    record(journal, 1, {"output": np.float32([NAN, 3])})
    [error] = column(dynamics.steps(run.read()), "error")
    assert math.isnan(error)


# ---------------------------------------------------------------- sets


def test_without_targets_there_are_losses_only(make):
    run = make()
    journal = run.attempt()
    choose(journal, np.arange(6.0).reshape(3, 2))
    record(journal, 1, {"loss": np.float32([1, 2, 3]), "output": np.zeros((3, 4), np.float32)})
    seen = dynamics.read(run.read())
    table = dynamics.examples(seen)
    assert column(table, "suspect_rank") == [3, 2, 1]
    assert column(table, "target") == [None] * 3
    assert dynamics.notes(seen) == [
        "neither accuracy nor error: the targets were not recorded as numbers"
    ]


def test_a_set_that_was_never_observed(make):
    run = make()
    choose(run.attempt(), data([0, 1]))
    seen = dynamics.read(run.read())
    assert column(dynamics.examples(seen), "n_observed") == [0, 0]
    assert dynamics.steps(seen).num_rows == 0
    assert dynamics.quantiles(seen).num_rows == 0
    assert dynamics.histogram(seen).num_rows == 0
    assert dynamics.sample(seen, k=1).table.num_rows == 1
    with pytest.raises(MisuseError, match="was never observed"):
        dynamics.pairs(seen, [0], 3)


def test_observations_whose_examples_are_not_recorded(make):
    run = make()
    record(run.attempt(), 1, {"loss": np.float32([2, 1]), "output": scores_of(0, 1)})
    table = dynamics.examples(run.read())
    assert column(table, "suspect_rank") == [1, 2]
    assert column(table, "index") == [None, None]


def test_several_sets_of_a_run(make):
    run = make()
    journal = run.attempt()
    for name, loss in (("train", 1), ("val", 2)):
        choose(journal, data([0, 1]), name=name)
        record(journal, 1, {"loss": np.float32([loss, loss])}, name=name)
    reader = run.read()
    assert column(dynamics.examples(reader, "val"), "mean_loss") == [2, 2]
    with pytest.raises(StoreError, match="several chosen sets, name one: train, val"):
        dynamics.steps(reader)
    with pytest.raises(StoreError, match="no chosen set 'test'"):
        dynamics.steps(reader, "test")
    with pytest.raises(MisuseError, match="this is chosen set 'val'"):
        dynamics.steps(dynamics.read(reader, "val"), "train")


def test_columns_keep_their_shapes_where_records_take_turns(make):
    run = make()
    journal = run.attempt()
    choose(journal, data([0, 1]))
    record(journal, 1, {"output": scores_of(0, 1)})
    record(journal, 1, {"loss": np.float32([0, 0])})
    assert dynamics.read(run.read()).scores is not None


def test_rows_too_scattered_for_a_grid_are_refused(make, monkeypatch):
    monkeypatch.setattr("labbook.dynamics.grid.MOST_CELLS", 3)
    run = classes(make, [0, 1], {1: (0, 1), 2: (0, 1)})
    with pytest.raises(StoreError, match="2 examples at 2 steps are 4 cells, over the limit of 3"):
        dynamics.read(run)


# ---------------------------------------------------------------- looking


def test_a_sample_differs_each_time_and_is_repeated_by_its_seed(make):
    run = classes(make, [0] * 50, {1: [0] * 50})
    seen = dynamics.read(run)
    drawn = [dynamics.sample(seen, k=8) for _ in range(20)]
    assert len({tuple(column(one.table, "example")) for one in drawn}) > 1
    again = dynamics.sample(seen, k=8, seed=drawn[0].seed)
    assert again.table.equals(drawn[0].table)
    # these are in notes and papers: they stay what they are
    assert column(dynamics.sample(seen, k=4, seed=0).table, "example") == [28, 11, 10, 41]
    for wrong in ({"seed": -1}, {"seed": 1 << 32}, {"k": 0}):
        with pytest.raises(MisuseError):
            dynamics.sample(seen, **wrong)


def test_a_step_that_was_not_observed_names_the_nearest(make):
    run = classes(make, [0, 1], {10: (0, 1), 20: (0, 1)})
    with pytest.raises(MisuseError, match="not observed at step 14; nearest: 10 and 20"):
        dynamics.quantiles(run, step=14)
    with pytest.raises(MisuseError, match="has no example 9; it has 2, from 0 to 1"):
        dynamics.history(run, 9)


def test_pairs_have_output_and_target(make):
    run = classes(make, [0, 1], {10: (0, 1), 20: (1, 1)})
    [row] = dynamics.pairs(run, [0]).to_pylist()
    assert row["output"] == [0, 5, 0]
    assert (row["step"], row["target"], row["prediction"], row["is_right"]) == (20, 0, 1, False)
    assert row["probability"] == pytest.approx(math.exp(5) / (math.exp(5) + 2))


def test_orders(make):
    run = classes(
        make, [0, 1, 2], {10: (0, 1, 0), 20: (1, 1, 0), 30: (0, 1, 0)}, loss=np.float32([1, 3, 2])
    )
    table = dynamics.examples(run)

    def order(by):
        return dynamics.order(table, by).tolist()

    assert order("mean_loss") == [1, 2, 0]
    assert order("forgetting") == [2, 0, 1]  # never learned, forgotten, unforgettable
    assert order("stays_correct_from") == [2, 0, 1]
    assert order("class") == [0, 1, 2]
    assert order("error") == [1, 2, 0]  # unknown: by mean loss
    with pytest.raises(MisuseError, match="no order 'size'; there are mean_loss, first_loss"):
        order("size")


def test_it_is_reached_from_labbook_itself(make):
    assert labbook.dynamics is dynamics
    assert isinstance(labbook.dynamics.examples(classes(make, [0, 1], {1: (0, 1)})), pa.Table)
