"""Every screen and its keys, in the real app on a real book."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import labbook
from labbook_tui.views.curves import CurvesView
from labbook_tui.views.evaluations import EvaluationsView
from tests.tui.lab import Lab, make_lab
from tests.tui.screens import app_on, screen_text, until

pytestmark = pytest.mark.timeout(240)

SIZES = [(80, 24), (120, 40)]


def line_of(text: str, *words: str) -> str:
    """The first line that holds all the words."""
    found = [line for line in text.split("\n") if all(word in line for word in words)]
    assert found, f"no line with {words} in\n{text}"
    return found[0]


@pytest.mark.parametrize("size", SIZES)
async def test_runs_show_state_dirty_mark_and_values(lab: Lab, size: tuple[int, int]) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=size) as pilot:
        text = await until(pilot, "first")
        assert "✗ killed" in line_of(text, "gone")
        assert "✗ failed" in line_of(text, "broken")
        assert "✓ finished" in line_of(text, "second")
        assert "!" in line_of(text, "second", "finished")
        assert "!" not in line_of(text, "first", "finished")
        assert "4 runs" in text
        assert "3 from a dirty tree" in text
        heading = text.split("\n")[1]
        assert [word in heading for word in ("state", "name", "step", "val/loss", "best")] == [
            True
        ] * 5
        assert "  60" in line_of(text, "second", "finished")
        await until(pilot, "A loss")  # the curve of the run under the cursor
        assert all(len(line) <= size[0] for line in screen_text(app).split("\n"))


async def test_moving_sorting_and_filtering(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        names = ["gone", "broken", "second", "first"]
        table = app.screen.table
        assert [table.rows[i].name for i in table.order] == names
        await pilot.press("j", "j")
        assert table.current.name == "second"
        await pilot.press("G")
        assert table.current.name == "first"
        await pilot.press("g")
        assert table.current.name == "gone"
        await pilot.press("s", "s")  # by name
        assert [table.rows[i].name for i in table.order] == sorted(names)
        await pilot.press("S")
        assert [table.rows[i].name for i in table.order] == sorted(names)[::-1]
        await pilot.press("slash", *"lr>0.2")
        text = await until(pilot, "1 of 4")
        assert "broken" not in text.split("─")[0]
        await pilot.press("ctrl+u", *"zzz")
        await until(pilot, "no run matches the filter: esc clears it")
        await pilot.press("escape")
        assert len(table.order) == 4


@pytest.mark.parametrize("size", SIZES)
async def test_every_view_of_a_run_by_digit(lab: Lab, size: tuple[int, int]) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=size) as pilot:
        await until(pilot, "first")
        await pilot.press("G", "enter")
        text = await until(pilot, "val/loss")
        assert "✓ finished" in text
        assert "step 60" in text
        await pilot.press("3")
        text = await until(pilot, "8 examples × 6 steps")
        assert "example" in text
        assert "softmax of output" in text
        assert "target" in text
        await pilot.press("4")
        text = await until(pilot, "accuracy")
        assert "0.9000 ±0.0474" in line_of(text, " 40 ")
        assert "0.8000 ±0.0474" in line_of(text, " 20 ")
        assert " 60 " in line_of(text, "no result yet")
        assert "◆" in line_of(text, " 40 ")
        await pilot.press("5")
        await until(pilot, "memory")
        await pilot.press("6")
        text = await until(pilot, "arguments")
        assert "0.1" in line_of(text, "lr ")
        await pilot.press("7")
        await until(pilot, "was not recorded")
        await pilot.press("8")
        text = await until(pilot, "checkpoint")
        assert "step-60.pt" in text
        await pilot.press("1")
        await until(pilot, "4 runs")


async def test_it_opens_on_the_page_it_is_asked_for(lab: Lab) -> None:
    reader = labbook.open(lab.book)
    run = reader.run("first").id
    app = app_on(lab.book, run, "machine")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda text: "cpu.percent" in text or "no gauges were recorded" in text)
        await pilot.press("1")
        await until(pilot, "4 runs")


async def test_killed_and_failed_runs_say_why(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("enter")
        text = await until(pilot, "is gone and no end was recorded")
        assert "dirty tree: 1 file not as committed: train.py" in text
        await pilot.press("escape", "j", "8")
        text = await until(pilot, "Traceback")
        assert "RuntimeError: out of memory" in text  # without the escape sequence
        assert "\x1b" not in text


async def test_curves_keys(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("G", "2")
        await until(pilot, "A loss")
        view = app.screen.query_one(CurvesView)
        await pilot.press("enter")
        await until(pilot, "chart 1 of")
        await pilot.press("left")
        text = await until(pilot, "\n step 60 ")
        assert view.options.cursor == 60
        assert " A loss 1.5" in text.split("\n step 60 ")[1].split("\n")[0]
        await pilot.press("l")
        await until(pilot, "log")
        await pilot.press("plus")
        assert view.options.x_limits is not None
        await pilot.press("0")
        assert view.options.x_limits is None
        await pilot.press("s")
        assert view.options.smooth == 0.0
        await pilot.press("escape")
        assert not view.is_large
        await pilot.press("slash", *"lr", "enter")
        assert [series for _, series in view.charts()] == [["lr"]]
        await pilot.press("escape")
        assert len(view.charts()) > 1


async def test_evaluations_go_to_the_best(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("G", "4")
        await until(pilot, "accuracy")
        await pilot.press("b")
        view = app.screen.query_one(EvaluationsView)
        assert view.model.rows[view.cursor].step == 40


async def test_new_values_and_new_runs_arrive_by_themselves(lab: Lab, tmp_path: Path) -> None:
    own = make_lab(tmp_path / "own lab")
    with own.begin("--called", "alive") as process:
        app = app_on(own.book)
        async with app.run_test(size=(120, 40)) as pilot:
            text = await until(pilot, "alive")
            assert "● running" in line_of(text, "alive")
            assert "1 live" in text
            process.stdin.write("40\n")
            process.stdin.flush()
            await until(pilot, lambda text: " 100 " in line_of(text, "alive", "running"))
            await pilot.press("enter")
            await until(pilot, "step 100")
            process.stdin.write("100\n")
            process.stdin.flush()
            await until(pilot, "step 200")
            process.stdin.close()
            await until(pilot, "✓ finished")
            await pilot.press("1")
            assert own.train("--called", "later", "--then", "none").returncode == 0
            await until(pilot, "later")


@pytest.mark.parametrize("size", [(40, 10), (59, 30), (100, 14), (10, 2)])
async def test_small_terminal_says_what_it_needs(lab: Lab, size: tuple[int, int]) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert text.startswith("labbook n")
        assert "state" not in text
        if size == (40, 10):
            assert text.split("\n")[:4] == [
                "labbook needs 60×15 cells.",
                "This terminal has 40×10.",
                "Make it larger, or use",
                "  labbook ls",
            ]
        await pilot.resize_terminal(80, 24)
        await until(pilot, "first")


async def test_empty_book_teaches(tmp_path: Path) -> None:
    book = tmp_path / ".labbook"
    (book / "runs").mkdir(parents=True)
    (book / "book.json").write_text('{"format": 1}')
    app = app_on(book)
    async with app.run_test(size=(80, 24)) as pilot:
        text = await until(pilot, "no runs yet")
        assert "run = labbook.start()" in text
        await pilot.press("enter", "s", "S", "j", "G", "3", "p")  # nothing to open, nothing breaks


async def test_damaged_run_is_a_row_with_a_reason(lab: Lab, tmp_path: Path) -> None:
    book = tmp_path / ".labbook"
    shutil.copytree(lab.book, book, symlinks=True)
    oldest = min((book / "runs").iterdir())
    (oldest / "run.json").write_text("{ not json")
    os.utime(oldest)
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        text = await until(pilot, oldest.name)
        assert "60" in line_of(text, oldest.name)  # what can be read is shown
        await pilot.press("G")
        await until(pilot, "cannot be read")


async def test_run_removed_while_open_is_said(lab: Lab, tmp_path: Path) -> None:
    book = tmp_path / ".labbook"
    shutil.copytree(lab.book, book, symlinks=True)
    newest = max((book / "runs").iterdir())
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("enter", "6")
        await until(pilot, "arguments")
        shutil.rmtree(newest)
        await pilot.press("2", "3", "4", "5", "6", "7", "8", "1")
        await until(pilot, "3 runs")


@pytest.mark.parametrize("size", SIZES)
async def test_help_lists_the_keys(lab: Lab, size: tuple[int, int]) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=size) as pilot:
        await until(pilot, "first")
        await pilot.press("question_mark")
        text = await until(pilot, "everywhere")
        assert "the runs" in text
        await pilot.press("G")
        await until(pilot, "best by this metric")
        await pilot.press("escape")
        await until(pilot, "4 runs")
        await pilot.press("4", "question_mark")
        await until(pilot, "to the best checkpoint by it")  # of the page it was opened from, first


async def test_hostile_names_cannot_reach_the_terminal(lab: Lab, tmp_path: Path) -> None:
    own = Lab(tmp_path)
    (tmp_path / "train.py").write_text((lab.root / "train.py").read_text())
    evil = "evil\x1b]0;owned\x07\x1b[2J\u202ename"
    assert own.train("--called", evil, "--then", "none").returncode == 0
    app = app_on(own.book)
    async with app.run_test(size=(120, 40)) as pilot:
        text = await until(pilot, "evil")
        assert "\x1b" not in text
        assert "owned" not in text
        assert "\u202e" not in text
        for digit in "2345678":
            await pilot.press(digit)
            await pilot.pause()
            assert "\x1b" not in screen_text(app)


async def test_light_theme_repaints(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "first")
        await pilot.press("T")
        assert not app.ink.dark
        await pilot.press("enter", "T")
        assert app.ink.dark


@pytest.mark.parametrize("keys", [[], ["T"]])
async def test_every_cell_has_the_ground_of_the_theme(lab: Lab, keys: list[str]) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "first")
        await pilot.press(*keys, "3")
        await until(pilot, "no chosen set")
        strips = app.screen._compositor.render_strips()
        table = app.ink.table
        grounds = {f"#{table[name]}" for name in ("background", "bar", "cursor")}
        seen = {part.style.bgcolor.name for strip in strips for part in strip if part.style.bgcolor}
        assert all(part.style.bgcolor is not None for strip in strips for part in strip)
        assert all(part.style.color is not None for strip in strips for part in strip)
        assert seen <= grounds
