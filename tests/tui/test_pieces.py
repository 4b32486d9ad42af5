"""The pure functions: numbers as text, axes, smoothing, dots, heatmaps, filters, names."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from labbook.direction import direction
from labbook_tui import series, text
from labbook_tui.chart import ChartOptions, draw_chart
from labbook_tui.curve import Curve
from labbook_tui.gauges import bar, sparkline
from labbook_tui.heatmap import Grid, draw_heatmap, draw_image, levels_of, resample
from labbook_tui.lines import clip, width_of
from labbook_tui.palette import Glyphs, Ink
from labbook_tui.raster import BRAILLE, column_ranges, dots, pack
from labbook_tui.read.machine import _place
from labbook_tui.read.output import screen_lines
from labbook_tui.scale import linear_axis, log_axis, nice_ceiling
from labbook_tui.smooth import automatic, ema
from labbook_tui.table import columns_that_fit
from labbook_tui.views.machine import reading

DEPTHS = ("truecolor", "256", "16", "none")
finite = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.text(max_size=30), st.integers(0, 20), st.booleans())
def test_pad_has_exactly_the_cells_asked_for(words: str, width: int, right: bool) -> None:
    assert cell_len(text.pad(words, width, right)) == width


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (math.nan, "nan"), (-math.inf, "-inf"), (0, "0"), (0.34071, "0.3407"),
     (20120.0, "20120"), (1.25e-7, "1.25e-7"), (2e12, "2.00e12"), (12.3456, "12.35")],
)  # fmt: skip
def test_number(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


def test_columns_of_numbers_stand_on_the_point() -> None:
    values = [0.3407, 0.0212, 1.5, None, math.nan]
    places = text.decimals(values)
    assert [text.fixed(v, places) for v in values] == ["0.3407", "0.0212", "1.5000", "–", "nan"]
    assert text.decimals([1.0, 20.0, 300.0]) == 0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(5, "5s"), (125, "2m 05s"), (7860, "2h 11m"), (3 * 86400 + 4 * 3600, "3d 4h")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_folded_breaks_long_words_and_tells_what_is_left_out() -> None:
    lines = text.folded("one " + "x" * 25 + " two", 10, 3)
    assert lines == ["one", "x" * 10, "xxxxxxxxx…"]


@given(finite, finite, st.integers(2, 8))
def test_axis_holds_its_values_and_has_a_scale(low: float, high: float, count: int) -> None:
    low, high = min(low, high), max(low, high)
    axis = linear_axis(low, high, count)
    slack = 1e-9 * max(abs(low), abs(high))
    assert axis.low <= low + slack
    assert axis.high >= high - slack
    if high - low > 1e-6 * max(1.0, abs(low), abs(high)):
        assert len(axis.ticks) >= 2
    labels = [label for _, label in axis.ticks]
    assert len(labels) < 30


@given(st.floats(-200, 200), st.floats(0.001, 90))
def test_log_axis_has_at_least_two_labels(low: float, span: float) -> None:
    axis = log_axis(low, low + span, 4)
    assert axis.low <= low
    assert len(axis.ticks) >= 2


@given(st.floats(1e-6, 1e12))
def test_ceiling_is_near_and_never_below(value: float) -> None:
    assert value * 0.999999 <= nice_ceiling(value) <= value * 1.51


@given(
    st.lists(st.one_of(finite, st.just(math.nan)), max_size=300), st.sampled_from([0.5, 0.9, 0.99])
)
def test_ema_is_the_plain_loop(values: list[float], weight: float) -> None:
    total, bias, expected = 0.0, 1.0, []
    for value in values:
        if math.isnan(value):
            expected.append(math.nan)
            continue
        total = total * weight + value * (1 - weight)
        bias *= weight
        expected.append(total / (1 - bias))
    got = ema(np.array(values), weight)
    scale = max((abs(v) for v in values if not math.isnan(v)), default=0.0)
    if len(values) > 1:
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-9 * scale + 1e-300)


def test_automatic_smoothing_leaves_short_series_alone() -> None:
    assert automatic(30) == 0.0
    assert automatic(1000) == 0.95
    assert automatic(10**6) == 0.99


def test_a_single_spike_among_a_million_points_is_drawn() -> None:
    y = np.zeros(1_000_000)
    y[654_321] = 5.0
    x = np.arange(1e6)
    low, high = column_ranges(x, y, 0.0, 1e6, 100)
    assert high[65] == 5.0
    assert low.max() == 0.0
    assert dots(low, high, 0.0, 5.0, 40)[0].nonzero()[0].tolist() == [65]


def test_nan_breaks_the_line_and_sparse_points_are_joined() -> None:
    x, y = np.array([0.0, 40.0, 60.0, 100.0]), np.array([0.0, 1.0, np.nan, 1.0])
    low, _ = column_ranges(x, y, 0.0, 100.0, 10)
    assert np.isfinite(low[:5]).all()
    assert np.isnan(low[5:9]).all()
    assert np.isfinite(low[9])


def test_braille_cells() -> None:
    mask = np.zeros((4, 2), bool)
    mask[0, 0] = mask[3, 1] = True
    assert chr(pack(mask, BRAILLE)[0, 0]) == "⢁"


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("size", [(80, 24), (36, 9), (16, 5), (10, 3)])
@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize(
    "values",
    [[], [1.0], [math.nan] * 5, [0.0, -1.0, 2.0], [1e300, 1e-300, math.inf], list(range(1, 300))],
)
def test_chart_fills_its_size_whatever_the_values(
    depth: str, size: tuple[int, int], log_y: bool, values: list[float]
) -> None:
    y = np.array(values, np.float64)
    curves = [Curve(name, np.arange(len(y), dtype=np.float64), y) for name in ("a", "b")]
    options = ChartOptions(log_y=log_y, live=True, cursor=0.0)
    lines = draw_chart("loss", curves, size, Ink(depth), options)  # type: ignore[arg-type]
    assert len(lines) in {size[1], 1}
    assert all(width_of(line) <= size[0] for line in lines)


def test_chart_says_when_there_is_nothing_to_draw() -> None:
    def words(curve: Curve, **options: bool) -> str:
        lines = draw_chart("loss", [curve], (60, 9), Ink(), ChartOptions(**options))
        return "\n".join("".join(part.text for part in line) for line in lines)

    some = np.arange(3.0)
    assert "no values yet" in words(Curve("a", some[:0], some[:0]))
    assert "no finite value" in words(Curve("a", some, some * math.nan))
    assert "no positive value" in words(Curve("a", some, -some - 1), log_y=True)
    assert "nan since step 2, last finite 2.000" in words(
        Curve("a", some, np.array([1.0, 2.0, math.nan]))
    )


@given(st.integers(0, 5000), st.integers(1, 200), st.booleans())
def test_grid_fits_and_every_observation_has_a_column(n: int, width: int, growing: bool) -> None:
    grid = Grid.of(n, width, growing)
    assert grid.width <= width
    for observation in {0, n // 2, n - 1} if n else set():
        column = grid.column(observation)
        assert column < grid.width
        assert grid.observation(column) >= observation
    values = np.ones((2, n))
    assert resample(values, grid).shape == (2, grid.width)


def test_growing_map_keeps_its_columns_until_it_is_full() -> None:
    before, after = Grid.of(40, 60), Grid.of(41, 60)
    assert [before.column(i) for i in range(40)] == [after.column(i) for i in range(40)]


@pytest.mark.parametrize("depth", DEPTHS)
def test_heatmap_lines_are_as_wide_as_the_values(depth: str) -> None:
    values = np.linspace(0, 1, 21).reshape(3, 7)
    values[1, 1] = np.nan
    lines = draw_heatmap(values, 0.0, 1.0, Ink(depth))  # type: ignore[arg-type]
    assert len(lines) == (2 if depth in {"truecolor", "256"} else 3)
    assert all(width_of(line) == 7 for line in lines)


def test_levels_mark_what_is_missing() -> None:
    levels = levels_of(np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, math.nan]]), 0.0, 1.0, 4)
    assert levels.tolist() == [[0, 0, 2, 3, 3, -1]]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("shape", [(8, 8), (64, 64, 3), (5, 90), (3, 3)])
def test_images_fit(depth: str, shape: tuple[int, ...]) -> None:
    lines = draw_image(np.random.default_rng(0).random(shape), 30, 12, Ink(depth))  # type: ignore[arg-type]
    assert 0 < len(lines) <= 12
    assert max(width_of(line) for line in lines) <= 30


def test_sparkline_and_bar() -> None:
    glyphs = Glyphs()
    assert sparkline(np.array([0.0, math.nan, 1.0]), 5, glyphs) == "▁ █  "
    assert sparkline(np.array([]), 4, glyphs) == "    "
    assert bar(0.5, 4, glyphs) == "██  "
    assert bar(math.nan, 3, glyphs) == "   "
    assert bar(7.0, 3, glyphs) == "███"


def test_series_are_grouped_by_metric() -> None:
    names = ["train/loss", "val/loss", "lr", "val/acc", "block1/loss", "epoch", "train_acc"]
    groups = dict(series.group(names))
    assert groups["loss"] == ["train/loss", "val/loss"]
    assert groups["acc"] == ["train_acc", "val/acc"]
    assert groups["block1/loss"] == ["block1/loss"]
    assert series.ordered(names)[0] == "val/loss"
    assert series.ordered(names)[-2:] == ["epoch", "lr"]


@pytest.mark.parametrize(
    ("name", "lower"), [("val/loss", True), ("accuracy", False), ("ppl", True), ("width", None)]
)
def test_which_way_is_better(name: str, lower: bool | None) -> None:
    assert series.lower_is_better(name) is lower


@pytest.mark.parametrize(
    "name",
    ["val/loss", "val_loss", "arc.acc_norm", "brier", "psnr", "remap_count", "loss_accuracy", "wer",
     "regret", "mAP", "cross_entropy", "return", "top5", "train_err", "width", "max/score"],
)  # fmt: skip
def test_the_screen_and_the_commands_have_one_rule_for_better(name: str) -> None:
    expected = {"min": True, "max": False, None: None}[direction(name)]
    assert series.lower_is_better(name) is expected


def test_a_line_that_is_cut_says_so() -> None:
    line = [Segment("out of "), Segment("memory", Style(bold=True))]
    assert clip(line, 13) == line
    cut = clip(line, 9)
    assert "".join(part.text for part in cut) == "out of m…"
    assert cut[-1].style == Style(bold=True)
    assert width_of(clip([Segment("日本語")], 4)) == 4
    assert clip(line, 0) == []


def test_columns_that_do_not_fit_whole_are_left_out() -> None:
    widths, spacers = [10, 10, 10, 10], [2, 2, 2, 2]
    assert columns_that_fit(widths, spacers, 36, 1, 1) == [0, 1, 2]
    assert columns_that_fit(widths, spacers, 36, 2, 1) == [0, 2, 3]
    assert columns_that_fit(widths, spacers, 5, 1, 1) == [0]


def test_output_keeps_the_last_state_of_progress_bars() -> None:
    data = b"start\n10 %\r50 %\r100 %\ndone \x1b[31mred\x1b[0m\r\n\xff\n"
    assert screen_lines(data, cut=False) == ["start", "100 %", "done red", "\ufffd"]
    assert screen_lines(b"half a line\nwhole", cut=True) == ["whole"]


@pytest.mark.parametrize(
    ("gauge", "value", "shown"),
    [
        ("gpu.0.util_percent", 96.7, "97 %"),
        ("gpu.0.memory_used_bytes", 5 * 2.0**30, "5 GiB"),
        ("gpu.0.pcie_sent_bytes_per_s", 2.0**20, "1 MiB/s"),
        ("gpu.0.power_watts", 312.5, "312 W"),
        ("gpu.0.energy_joules", 3.6e6, "1000 Wh"),
        ("gpu.0.temperature_celsius", 61.0, "61 °C"),
        ("gpu.0.sm_clock_mhz", 1980.0, "1980 MHz"),
        ("gpu.0.throttle_bitmask", 12.0, "0xc"),
        ("gpu.0.throttle_bitmask", math.inf, "–"),
        ("process.open_files", 7.0, "7"),
    ],
)
def test_gauges_have_the_unit_of_their_name(gauge: str, value: float, shown: str) -> None:
    assert reading(gauge, value) == shown


def test_gauges_stand_in_the_order_of_their_numbers() -> None:
    names = [
        "load.1m",
        "cpu.percent",
        "gpu.10.power_watts",
        "gpu.2.util_percent",
        "disk.free_bytes",
    ]
    assert sorted(names, key=_place) == [
        "gpu.2.util_percent",
        "gpu.10.power_watts",
        "cpu.percent",
        "disk.free_bytes",
        "load.1m",
    ]
