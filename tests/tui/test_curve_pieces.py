"""Pure parts of the curves page: smoothing, columns, ticks of time, windows, rows, letters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labbook_tui.chart import ChartOptions, draw, draw_chart
from labbook_tui.curve import QUICK, Curve
from labbook_tui.legend import value_at
from labbook_tui.palette import Glyphs, Ink
from labbook_tui.raster import column_ranges
from labbook_tui.read_out import Rows, place_text
from labbook_tui.series import matching
from labbook_tui.smooth import ema, heard, prepared, told
from labbook_tui.timescale import clock_axis, elapsed_axis, elapsed_text
from labbook_tui.window import moved, newest, zoomed


def words(lines) -> str:
    return "\n".join("".join(part.text for part in line) for line in lines)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(-1e6, 1e6)), min_size=2, max_size=200))
def test_smoothing_over_distances_is_the_plain_sum(points: list[tuple[float, float]]) -> None:
    x = np.cumsum([gap for gap, _ in points])
    y = np.array([value for _, value in points])
    ordinary = float(np.median(np.diff(x))) or 1.0
    distances = (
        (x[:, None] - x[None, :]) / ordinary
        if np.median(np.diff(x)) > 0
        else (np.arange(len(x))[:, None] - np.arange(len(x))[None, :])
    )
    weights = np.where(np.tri(len(x)) > 0, 0.9 ** np.maximum(distances, 0.0), 0.0)
    expected = (weights @ y) / weights.sum(axis=1)
    np.testing.assert_allclose(
        ema(y, 0.9, x), expected, rtol=1e-9, atol=1e-9 * (np.abs(y).max() + 1e-300)
    )


def test_a_gap_forgets() -> None:
    x = np.array([0.0, 1.0, 2.0, 1000.0, 1001.0])
    assert ema(np.array([5.0, 5.0, 5.0, 1.0, 1.0]), 0.9, x)[3] == pytest.approx(1.0)


@given(
    st.lists(st.one_of(st.floats(-100, 100), st.just(math.nan)), min_size=1, max_size=200),
    st.integers(1, 40),
)
def test_columns_hold_every_value(values: list[float], columns: int) -> None:
    x, y = np.arange(float(len(values))), np.array(values)
    low, high = column_ranges(x, y, 0.0, max(1.0, x[-1]), columns)
    edges = np.arange(columns + 1) * (max(1.0, x[-1]) / columns)
    for at, value in zip(x, y, strict=True):
        if not math.isnan(value):
            column = min(int(np.searchsorted(edges, at, "right")) - 1, columns - 1)
            assert low[column] <= value <= high[column]


@given(st.floats(0, 1e7), st.floats(3, 1e8), st.integers(2, 9))
def test_ticks_of_time_are_few_and_inside(low: float, span: float, count: int) -> None:
    for axis in (
        elapsed_axis(low, low + span, count),
        clock_axis(1.7e9 + low, 1.7e9 + low + span, count),
    ):
        assert len(axis.ticks) <= 2 * count + 3
        assert all(axis.low - 0.1 <= at <= axis.high + 0.1 for at, _ in axis.ticks)
        assert all(label for _, label in axis.ticks)


def test_ticks_of_time_are_round() -> None:
    assert [label for _, label in elapsed_axis(0, 3600, 4).ticks] == [
        "0",
        "15m",
        "30m",
        "45m",
        "1h",
    ]
    assert [label for _, label in elapsed_axis(0, 60, 4).ticks] == ["0", "15s", "30s", "45s", "1m"]
    assert elapsed_text(3600 * 25, 3600) == "1d01h"
    assert elapsed_text(5400, 60) == "1h30"
    import datetime

    begin = datetime.datetime(2026, 3, 1, 22, 10).timestamp()
    labels = [label for _, label in clock_axis(begin, begin + 4 * 3600, 5).ticks]
    assert labels == ["23:00", "02 Mar", "01:00", "02:00"]


def test_windows() -> None:
    whole = (0.0, 100.0)
    assert zoomed(None, whole, 100.0, 0.5, log=False) == (50.0, 100.0)
    assert zoomed((50.0, 100.0), whole, 75.0, 4.0, log=False) is None
    assert zoomed(None, (1.0, 100.0), 10.0, 0.5, log=True) == pytest.approx((10**0.5, 10**1.5))
    assert moved((50.0, 100.0), whole, 0.25) == (50.0, 100.0)
    assert moved((50.0, 100.0), whole, -0.25) == (37.5, 87.5)
    assert newest(None, whole) == (90.0, 100.0)
    assert newest((0.0, 20.0), whole) == (80.0, 100.0)


def test_rows_join_curves_at_their_x() -> None:
    one = Curve("a", np.array([0.0, 1.0, 1.0, 2.5]), np.array([1.0, 2.0, 3.0, 4.0]))
    two = Curve("b", np.array([1.0, 3.0]), np.array([9.0, math.inf]))
    rows = Rows([one, two])
    assert [*rows] == [[0, 1.0, None], [1, 3.0, 9.0], [2.5, 4.0, None], [3, None, math.inf]]
    assert len(Rows([one, two], (1.0, 2.5))) == 2
    assert len(Rows([])) == 0
    assert place_text("step", 1200.0) == "step 1 200"


def test_value_at_is_the_nearest_one() -> None:
    curve = Curve("a", np.array([0.0, 10.0]), np.array([1.0, 2.0]))
    assert [value_at(curve, at) for at in (-5.0, 4.0, 6.0, 99.0)] == [1.0, 1.0, 2.0, 2.0]


def test_matching() -> None:
    names = ["train/loss", "val/loss", "lr"]
    assert matching(names, "loss") == ["train/loss", "val/loss"]
    assert matching(names, "LOSS -val") == ["train/loss"]
    assert matching(names, " - ") == names


def test_letters_stand_along_curves_where_hues_are_few() -> None:
    x = np.arange(500.0)
    curves = [Curve("a", x, x), Curve("b", x, 500 - x)]
    plain = Ink("none", glyphs=Glyphs.plain())
    text = words(draw("t", curves, (80, 20), plain, ChartOptions()).lines[1:-2])
    assert text.count("A") > 3
    assert text.count("B") > 3
    assert text.isascii()
    rich = words(draw("t", curves, (80, 20), Ink(), ChartOptions()).lines[1:-2])
    assert rich.count("A") == 1


def test_clip_counts_logged_values_outside() -> None:
    y = np.ones(1000)
    y[[10, 20, 30]] = 99.0
    y[40] = -99.0
    curve = Curve("a", np.arange(1000.0), y + np.linspace(0, 0.01, 1000) * 0)
    text = words(draw("a", [curve], (80, 12), Ink(), ChartOptions(clip=True)).lines)
    assert "4 values outside" in text
    drawn = draw("a", [curve], (80, 12), Ink(), ChartOptions(clip=True))
    assert drawn.x_at(0) is None
    assert drawn.x_at(79) == pytest.approx(999.0, rel=0.02)


def test_a_long_curve_is_drawn_as_it_is_until_its_average_is_there() -> None:
    rng = np.random.default_rng(0)
    n = QUICK + 1
    curve = Curve("a", np.arange(n, dtype=np.float64), rng.normal(0.0, 1.0, n))

    def head(smooth: float | None) -> str:
        lines = draw_chart("a", [curve], (80, 12), Ink(), ChartOptions(smooth=smooth))
        return "".join(part.text for part in lines[0])

    assert "ema" not in head(None)
    prepared(curve)
    assert "ema 0.99" in head(None)
    assert "ema" not in head(0.6)  # that one is not
    prepared(curve, heard(told(0.6)))
    assert "ema 0.6" in head(0.6)
    few = Curve("a", curve.x[:QUICK], curve.y[:QUICK])
    lines = draw_chart("a", [few], (80, 12), Ink(), ChartOptions())
    assert "ema 0.99" in "".join(part.text for part in lines[0])


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 5000])
def test_even_values_are_averaged_as_uneven_ones_are(weight: float, n: int) -> None:
    y = np.random.default_rng(n).normal(3.0, 1.0, n)
    y[n // 2] = math.nan if n > 60 else y[n // 2]
    x = np.arange(n, dtype=np.float64)
    found = ema(y, weight, x)
    total = count = 0.0
    for value, got in zip(y, found, strict=True):
        total, count = total * weight, count * weight
        if math.isnan(value):
            assert math.isnan(got)
            continue
        total, count = total + value, count + 1.0
        assert got == pytest.approx(total / count, rel=1e-9)
