"""The curves page: its keys in the real app, its mouse, and what it hands to copy and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from labbook_tui.views.curves import CurvesView
from tests.tui.lab import environment
from tests.tui.screens import app_on, until

TRAIN = """
import math
import labbook

run = labbook.start(name="varied", output=False)
run.axis("epoch")
for step in range(1000):
    loss = 2.0 / (1 + step / 50) + (40.0 if step == 500 else 0.0)
    values = {"train/loss": loss, "epoch": step / 100}
    values["grad"] = float("nan") if step >= 800 else 1.0 + step % 7
    values["below"] = -1.0 - step
    if step % 100 == 0:
        values |= {"val/loss": loss + 0.5, "never": float("nan")}
    run.log(values, step=step)
run.finish()
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("varied")
    (folder / "train.py").write_text(TRAIN)
    subprocess.run([sys.executable, "train.py"], cwd=folder, env=environment(), check=True)
    return folder / ".labbook"


async def opened(app, pilot) -> CurvesView:
    await until(pilot, "A train")
    await pilot.press("2")
    await until(pilot, lambda text: "8 Events" in text and "A train" in text)
    return app.screen.query_one(CurvesView)


async def test_axes_start_with_the_runs_own_and_go_round(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(app, pilot)
        assert view.model is not None
        assert view.model.axes == ("epoch", "step", "time", "clock")
        assert "epoch" not in [name for _, names in view.charts() for name in names]
        seen = []
        for axis in ("step", "time", "clock", "epoch"):
            await pilot.press("x")
            await until(pilot, lambda _, axis=axis: view.model.axis == axis)
            seen.append(view.model.curves["train/loss"].x[-1])
        assert seen[0] == 999
        assert 0 < seen[1] < 600
        assert seen[2] > 1.7e9
        assert seen[3] == pytest.approx(9.99)


async def test_scales_say_what_they_leave_out(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(app, pilot)
        text = await until(pilot, "nan since")
        assert "nan at all 10 points" in text
        assert "no finite value in 10 points" in text
        await pilot.press("l")
        text = await until(pilot, "no positive value")
        assert (view.options.log_x, view.options.log_y) == (False, True)
        await pilot.press("l")
        await until(pilot, "epoch ≤ 0: ")
        assert (view.options.log_x, view.options.log_y) == (True, False)
        await pilot.press("l", "l")
        assert (view.options.log_x, view.options.log_y) == (False, False)
        await pilot.press("o")
        await until(pilot, "values outside")
        await pilot.press("o", "s", "r")
        assert (view.options.clip, view.options.smooth, view.options.raw) == (False, 0.0, False)


async def test_cursor_and_window_are_those_of_all_charts(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(app, pilot)
        await pilot.press("right")
        await until(pilot, "\n epoch 0 ")
        assert view.copied() == "epoch 0  train/loss 2.0  val/loss 2.5"
        await pilot.press("right")
        assert view.options.cursor is not None
        assert view.options.cursor > 0
        await pilot.press("escape")
        assert view.options.cursor is None
        assert view.copied().startswith("train/loss 0.0")
        await pilot.press("plus", "plus")
        low, high = view.options.x_limits or (0.0, 0.0)
        assert (low, high) == pytest.approx((9.99 * 0.75, 9.99))
        shown = view.shown()
        assert shown is not None
        assert shown.columns[:3] == ("epoch", "train/loss", "val/loss")
        assert [row[0] for row in (shown.rows[0], shown.rows[-1])] == [7.5, 9.99]
        assert len(shown.rows) == 250
        assert shown.rows[1][2] is None
        for back, on in (("left_square_bracket", "right_square_bracket"), ("H", "L"), ("<", ">")):
            await pilot.press(back)
            assert view.options.x_limits == pytest.approx(
                (low - 0.25 * (high - low), high - 0.25 * (high - low))
            )
            await pilot.press(on)
            assert view.options.x_limits == pytest.approx((low, high))
        await pilot.press("minus")
        assert view.options.x_limits == pytest.approx((9.99 * 0.5, 9.99))
        await pilot.press("0", "f")
        await until(pilot, "following")
        assert view.options.x_limits == pytest.approx((9.99 * 0.9, 9.99))
        await pilot.press("f", "0")
        assert view.options.x_limits is None


async def test_tiles_keep_the_chart_and_search_keeps_what_was_shown(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(80, 24)) as pilot:
        view = await opened(app, pilot)
        groups = len(view.charts())
        await pilot.press("t")
        assert len(view.charts()) == groups + 1
        assert view.charts()[view.chosen][1] == ["train/loss"]
        await pilot.press("t", "slash", *"loss -val")
        await until(pilot, "1 of 5 series")
        assert view.charts() == [("loss", ["train/loss"])]
        await pilot.press("space", *"xyz")
        await until(pilot, "0 of 5 series")
        assert view.charts() == [("loss", ["train/loss"])]
        await pilot.press("escape")
        assert len(view.charts()) == groups


async def test_mouse_zooms_at_the_pointer_and_sets_the_cursor(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(app, pilot)
        await pilot.click(view, offset=(70, 4))
        assert view.chosen == 1
        assert view.options.cursor is not None
        at = view.options.cursor
        view.post_message(_wheel(view, 70, 4))
        await until(pilot, lambda _: view.options.x_limits is not None)
        low, high = view.options.x_limits or (0.0, 0.0)
        assert low < at < high
        assert high - low == pytest.approx(0.7 * 9.99, rel=0.01)


def _wheel(view: CurvesView, x: int, y: int):
    from textual.events import MouseScrollUp

    return MouseScrollUp(view, x, y, 0, -1, 0, False, False, False)


async def test_memory_is_taken_up_and_a_damaged_one_is_not(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        view = await opened(app, pilot)
        await pilot.press("l", "s", "t", "o", "x")
        memory = view.remembered()
        other = CurvesView()
        other.recall(memory)
        assert other.remembered() == memory
        assert memory["log_y"] is True
        assert memory["axis"] == "step"
        other.recall(
            {"axis": 3, "log_x": "yes", "smooth": [1], "pattern": None, "tiles": "x", "raw": 2}
        )
        assert other.remembered() == memory
