"""Pure drawings of the chosen set's page: grids, scatter, inputs, outputs, filters, orders."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labbook.dynamics import Observed, examples
from labbook_tui.example_input import input_lines, text_lines, vector_lines
from labbook_tui.example_output import changed_from, highest
from labbook_tui.example_query import kept
from labbook_tui.heatmap import Grid, draw_heatmap, resample
from labbook_tui.lines import width_of
from labbook_tui.models import ChosenModel, Counts, Example
from labbook_tui.palette import Glyphs, Ink
from labbook_tui.read.chosen_inputs import Examples
from labbook_tui.recorded import Recorded, probabilities
from labbook_tui.scale import linear_axis
from labbook_tui.scatter import Points, draw_scatter
from labbook_tui.views.chosen_histogram import _merged, histogram_lines
from labbook_tui.views.chosen_look import Look, arranged, colour_limits, steadied
from labbook_tui.views.chosen_map import head_line, map_lines
from labbook_tui.views.chosen_quartiles import exemplars

INKS = [Ink("truecolor"), Ink("256", dark=False), Ink("16", glyphs=Glyphs.plain()), Ink("none")]


def a_model(
    loss: list[list[float | None]], prediction: list[list[int]] | None = None
) -> ChosenModel:
    """A set with these losses; the target of example i is class i % 2."""
    n, m = len(loss), len(loss[0])
    rows = {
        "step": pa.array(list(range(10, 10 * m + 1, 10)) * n, pa.int64()),
        "time": pa.array([0] * (n * m), pa.timestamp("ms", tz="UTC")),
        "example": pa.array(np.repeat(np.arange(n), m), pa.int32()),
        "loss": pa.array([v for row in loss for v in row], pa.float32()),
    }
    if prediction is not None:
        rows["prediction"] = pa.array([v for row in prediction for v in row], pa.int64())
    ids = pa.array(np.arange(n), pa.int32())
    seen = Observed(
        "run",
        "chosen",
        pa.table(rows),
        pa.table({"example": ids, "target": pa.array(np.arange(n) % 2)}),
    )
    grids = {"loss": np.where(seen.loss.known, seen.loss.values, np.nan)}

    summary = SimpleNamespace(state="finished")
    return ChosenModel(
        summary, ("chosen",), "chosen", seen.example, seen.step.astype(float),
        Examples(seen.example, seen.input_row, seen.inputs),
        grids, examples(seen), Recorded(seen),
    )  # fmt: skip


def words(lines) -> list[str]:
    return ["".join(part.text for part in line) for line in lines]


def test_examples_worst_first_and_unknown_last() -> None:
    model = a_model([[3.0, 1.0], [1.0, 2.0], [None, None], [5.0, None]])
    assert arranged(model, "final loss").tolist() == [3, 1, 0, 2]
    assert arranged(model, "mean loss").tolist() == [3, 0, 1, 2]
    assert arranged(model, "change").tolist() == [1, 3, 0, 2]
    assert arranged(model, "id").tolist() == [0, 1, 2, 3]
    assert arranged(model, "class").tolist() == [0, 2, 3, 1]


def test_colour_limits_turn_logarithmic_for_wide_losses() -> None:
    low, high, is_log = colour_limits(np.array([[0.001, 0.01, 0.1, 4.0]]))
    assert is_log
    assert low < -2 < high
    assert colour_limits(np.array([[1.0, 2.0]]))[2] is False
    assert colour_limits(np.array([[math.nan]])) == (0.0, 1.0, False)


def test_colour_limits_seldom_move() -> None:
    before = colour_limits(np.array([[0.001, 0.01, 0.1, 4.0]]))
    assert colour_limits(np.array([[0.001, 0.012, 0.11, 4.1]])) == before
    assert colour_limits(np.array([[1.02, 1.9]])) == colour_limits(np.array([[1.04, 1.95]]))


def test_the_order_stays_while_a_run_goes_on_until_much_is_new() -> None:
    def model(n_steps: int, state: str) -> ChosenModel:
        found = a_model([[1.0] * n_steps, [0.5] * (n_steps - 1) + [n_steps - 29.0]])
        found.summary.state = state
        return found

    look = Look(model(30, "running"))
    look.arrange()
    assert look.rows.tolist() == [0, 1]
    look.take(model(31, "running"))
    assert look.rows.tolist() == [0, 1]
    assert "by final loss at 300" in words([head_line(look, 70, Ink())])[0]
    look.take(model(60, "running"))
    assert look.rows.tolist() == [1, 0]
    look.arrange()
    look.take(model(39, "finished"))
    assert look.as_of == 39


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", [0, 1, 2, 3]),
        ("2", [2]),
        ("id:1,3", [1, 3]),
        ("class:1", [1, 3]),
        ("label!=1", [0, 2]),
        ("wrong", [1, 2]),
        ("right -class:1", [0]),
        ("forgot>=1", [2]),
        ("never", [1]),
        ("loss<1", [0, 3]),
        ("loss>x", []),
        ("colour:red", []),
        ("los", []),
    ],
)
def test_filters(text: str, ids: list[int]) -> None:
    model = a_model(
        [[1.0, 0.5], [2.0, 2.0], [1.0, 3.0], [2.0, 0.1]], [[0, 0], [0, 0], [0, 1], [0, 1]]
    )
    assert model.ids[kept(model, text)].tolist() == ids


@given(st.integers(1, 300), st.integers(1, 90), st.booleans())
def test_every_observation_has_a_column_and_no_column_is_empty(
    n: int, width: int, is_growing: bool
) -> None:
    grid = Grid.of(n, width, is_growing)
    columns = [grid.column(at) for at in range(n)]
    assert grid.width <= max(width, 1)
    assert columns == sorted(columns)
    assert all(grid.observation(grid.column(at)) >= at for at in range(n))
    assert grid.observation(grid.width - 1) == n - 1
    mean = resample(np.arange(n, dtype=float)[None], grid)
    assert mean.shape == (1, grid.width)
    assert np.isfinite(mean).all()
    assert (np.diff(mean[0]) >= 0).all()
    if n > width and not is_growing:
        assert grid.width == width


@given(st.integers(1, 200), st.integers(1, 60), st.integers(0, 199), st.booleans())
def test_a_column_on_and_back_ends_where_it_began(n: int, width: int, at: int, grows: bool) -> None:
    grid = Grid.of(n, width, grows)
    at = min(at, n - 1)
    on = grid.moved(at, 1)
    assert on > at or at == n - 1 or grid.column(at) == grid.width - 1
    if grid.column(on) > grid.column(at):
        assert grid.column(grid.moved(on, -1)) == grid.column(at)


@pytest.mark.parametrize("ink", INKS)
def test_scatter_is_as_large_as_asked_and_marks_its_point(ink: Ink) -> None:
    x, y = np.array([0.0, 0.5, 1.0, math.nan]), np.array([1.0, 0.5, 0.0, 0.3])
    axes = linear_axis(0, 1, 4), linear_axis(0, 1, 4)
    points = Points(x, y, np.array([0.0, 0.5, 1.0, 1.0]), marked=1)
    lines = draw_scatter(points, axes, (40, 12), ink)
    assert len(lines) == 12
    assert {width_of(line) for line in lines} == {40}
    drawn = words(lines)
    marks = [line.index(ink.glyphs.best) for line in drawn if ink.glyphs.best in line]
    assert len(marks) == 1
    assert 18 < marks[0] < 26
    assert drawn[0].rstrip()[-1] not in ink.glyphs.side  # the first point, in the upper left corner
    assert sum(line.count("o") + line.count(ink.glyphs.live) for line in drawn) >= 1


@pytest.mark.parametrize("ink", INKS)
@given(values=st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=300))
def test_vectors_fit(ink: Ink, values: list[float]) -> None:
    lines = vector_lines(np.array(values), 30, 5, ink)
    assert 1 <= len(lines) <= 5
    assert all(width_of(line) <= 30 for line in lines)


def test_vector_bars_stand_on_zero() -> None:
    plain = Ink("none", glyphs=Glyphs.plain())
    lines = words(vector_lines(np.array([0.0, 2, 4, -4, math.nan, 4]), 6, 5, plain))
    assert [line[2] for line in lines[:4]] == [":", ":", "'", " "]
    assert [line[3] for line in lines[:4]] == [" ", " ", ":", ":"]
    assert [line[4] for line in lines[:4]] == [" "] * 4
    assert lines[-1].startswith("6 v")
    assert words(vector_lines(np.array([1.0, 2.5]), 20, 5, Ink())) == ["1.00 2.50"]


def test_bins_are_joined_until_they_fit() -> None:
    counts = Counts((), np.arange(14).reshape(7, 2), np.arange(7), np.linspace(0, 7, 8))
    found = _merged(counts, 4)
    assert found.predicted.tolist() == [[2, 4], [10, 12], [18, 20], [12, 13]]
    assert found.target.tolist() == [1, 5, 9, 6]
    assert found.edges.tolist() == [0, 2, 4, 6, 7]


def test_texts_keep_their_lines_and_say_when_they_are_cut() -> None:
    assert words(text_lines("one\n  two", 10, 5, Ink())) == ["one", "  two"]
    assert words(text_lines("abcdefgh", 4, 5, Ink())) == ["abcd", "efgh"]
    assert words(text_lines("abcdefgh\nx", 4, 2, Ink())) == ["abcd", "efg…"]
    assert input_lines(Example(1, text="abc"), 10, 0, Ink()) == []


def test_highest_keeps_the_target_in_sight() -> None:
    scores = [(at, value) for at, value in enumerate([0.3, 0.2, 0.2, 0.1, 0.1, 0.06, 0.04])]
    assert [at for at, _ in highest(scores, 6)] == [0, 1, 2, 3, 6]
    assert [at for at, _ in highest(scores, None)] == [0, 1, 2, 3, 4]
    assert highest([(0, math.nan), (1, 1.0)], 0) == [
        (1, 1.0),
        (0, pytest.approx(math.nan, nan_ok=True)),
    ]


def test_what_changed_in_a_text_is_bright() -> None:
    ink = Ink()
    line = changed_from("the cat", "the dog", ink)
    assert [part.text for part in line] == ["the ", "dog"]
    assert line[1].style.bold
    assert [part.text for part in changed_from("", "new", ink)] == ["new"]
    assert [part.text for part in changed_from("same", "same", ink)] == ["same"]


def test_probabilities_of_each_kind() -> None:
    logits = np.array([0.0, math.log(3)])
    assert probabilities(logits, "logits").tolist() == pytest.approx([0.25, 0.75])
    assert probabilities(np.log([0.25, 0.75]), "log-probabilities").tolist() == pytest.approx(
        [0.25, 0.75]
    )
    assert probabilities(np.array([0.25, 0.75]), "probabilities").tolist() == [0.25, 0.75]
    assert probabilities(np.array([-math.inf, 0.0]), "logits").tolist() == [0, 1]


def test_exemplars_are_some_examples_losses() -> None:
    model = a_model([[5.0], [1.0], [None], [3.0], [2.0], [4.0]])
    found = exemplars(model, 0, np.arange(6))
    assert [(each.row, each.loss) for each in found] == [(1, 1), (4, 2), (3, 3), (5, 4), (0, 5)]
    assert exemplars(model, 0, np.array([2])) == []


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("n", [1, 3, 40, 200])
def test_the_map_fits_and_shows_the_cursor(ink: Ink, n: int) -> None:
    look = Look(a_model([[float(at + step) for step in range(30)] for at in range(n)]))
    look.arrange()
    for place in (0, n // 2, n - 1):
        look.place = place
        lines = map_lines(look, 50, 20, ink)
        assert len(lines) <= 20
        assert all(width_of(line) <= 50 for line in lines)
        marked = [line for line in words(lines) if line.startswith(ink.glyphs.cursor)]
        assert 1 <= len(marked) <= 2  # on the map, and in the table where there is one


def test_wrong_is_another_colour_than_right() -> None:
    grid = np.array([[0.0, 1.0]])
    ink = Ink()
    [line] = draw_heatmap(grid, 0, 1, ink, colours=("ff0000", "00ff00"))
    assert [part.style.color.name for part in line] == ["#ff0000", "#00ff00"]
    [line] = draw_heatmap(grid, 0, 1, Ink("none"), shades="xo")
    assert words([line]) == ["xo"]


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("n", [2, 9, 300])
@pytest.mark.parametrize("edges", [False, True])
def test_histograms_fit(ink: Ink, n: int, edges: bool) -> None:
    from dataclasses import replace

    counts = Counts(
        tuple(map(str, range(n))), np.ones((n, 2), np.int64), np.full(n, 2),
        np.linspace(-1, 1, n + 1) if edges else None,
    )  # fmt: skip
    look = Look(replace(a_model([[1.0, 2.0]]), counts=counts))
    look.arrange()
    for width, height in ((80, 20), (120, 36)):
        lines = histogram_lines(look, width, height, ink)
        assert len(lines) <= height
        assert all(width_of(line) <= width for line in lines)
        assert any("predicted" in line for line in words(lines))


def test_the_last_column_is_drawn_when_all_is_there_that_shares_it() -> None:
    values = np.arange(22, dtype=np.float64)[None]
    drawn = [resample(values, Grid.of(n, 8).whole)[0].tolist() for n in (7, 8, 17, 19, 20, 21)]
    assert drawn[0] == [0, 1, 2, 3, 4, 5, 6]
    assert drawn[1] == [*drawn[0], 7]
    assert drawn[2] == drawn[3] == [1.5, 5.5, 9.5, 13.5]
    assert drawn[4] == drawn[5] == [1.5, 5.5, 9.5, 13.5, 17.5]
    assert Grid.of(17, 8, is_growing=False).whole.width == 8


def test_colours_of_a_live_map_do_not_turn_back_and_forth() -> None:
    assert steadied((0.0, 4.0, False), (0.0, 3.0, False)) == (0.0, 4.0, False)
    assert steadied((0.0, 3.0, False), (0.0, 4.0, False)) == (0.0, 4.0, False)
    assert steadied((1.0, 3.0, False), (0.0, 2.5, False)) == (0.0, 3.0, False)
    assert steadied((0.0, 4.0, False), (1.0, 3.0, False)) == (1.0, 3.0, False)
    assert steadied((0.0, 4.0, False), (-2.0, 1.0, True)) == (-2.0, 1.0, True)
