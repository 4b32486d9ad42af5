"""The comparison of runs: how they are picked, its pages, and every key of them, on real runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import labbook
from labbook_tui.app import LabbookApp
from labbook_tui.comparison import ChangesModel
from labbook_tui.screens.compare import CompareScreen
from tests.tui.lab import Lab, evaluate, make_lab
from tests.tui.screens import app_on, screen_text, until

pytestmark = pytest.mark.timeout(240)

SIZES = [(80, 24), (120, 40)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """`base` and `wide`, both trained and evaluated; an argument, the code and data differ."""
    lab = make_lab(tmp_path_factory.mktemp("pairs"))
    assert lab.train("--called", "base").returncode == 0
    evaluate(lab, "base")
    script = lab.root / "train.py"
    script.write_text(script.read_text().replace("+ 0.1", "+ 0.2") + "# a\x1b[31mb\n")
    (lab.root / "more.py").write_text("A = 1\n")
    assert lab.train("--called", "wide", "--lr", "0.5").returncode == 0
    evaluate(lab, "wide")
    script.write_text(script.read_text() + "# c\n")
    assert lab.train("--called", "third", "--then", "none").returncode == 0
    return lab


def ids(lab: Lab) -> dict[str, str]:
    return {run.name: run.id for run in labbook.open(lab.book).summaries()}


def marked(lab: Lab, *names: str) -> LabbookApp:
    app = app_on(lab.book)
    for name in names:
        assert app.marks.toggle(ids(lab)[name])
    return app


@pytest.mark.parametrize("size", SIZES)
async def test_two_marked_runs_on_one_axis(pair: Lab, size: tuple[int, int]) -> None:
    app = marked(pair, "base", "wide")
    async with app.run_test(size=size) as pilot:
        await until(pilot, "base")
        await pilot.press("9")
        text = await until(pilot, lambda text: "A base → B wide" in text and "finished" in text)
        lines = text.split("\n")
        assert "Overlay" in lines[1]
        legend = [line for line in lines if re.match(r" [AB] (base|wide)", line)]
        assert len(legend) == 2
        assert "accuracy" in lines[2] or "loss" in lines[2]
        assert all(len(line) <= size[0] for line in lines)
        await pilot.press("n")
        other = await until(pilot, "series 2 of")
        assert other.split("\n")[2] != lines[2]
        await pilot.press("N")
        await until(pilot, "series 1 of")
        await pilot.press("G")
        await until(pilot, lambda text: re.search(r"series (\d+) of \1", text) is not None)


async def test_keys_of_the_overlay(pair: Lab) -> None:
    app = marked(pair, "base", "wide")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "base")
        await pilot.press("9")
        await until(pilot, "A base")
        view = app.screen.views[0]
        await pilot.press("slash", *"loss", "enter")
        await until(pilot, lambda text: text.split("\n")[2].startswith(" ") and "loss" in text)
        await pilot.press("l")
        await until(pilot, "log")
        await pilot.press("s")
        await until(pilot, "not smoothed")
        await pilot.press("o")
        await until(pilot, "1–99 %")
        await pilot.press("r")
        assert not view.options.raw
        await pilot.press("right")
        await until(pilot, lambda text: text.count("at ") >= 2)
        assert view.options.cursor is not None
        assert "run\tlast\tbest" in app.screen.copied()
        await pilot.press("plus")
        assert view.options.x_limits is not None
        await pilot.press("0")
        assert view.options.x_limits is None
        await pilot.press("x")
        await until(pilot, "over time")
        shown = app.screen.shown()
        assert shown is not None
        assert [row[1] for row in shown.rows] == ["base", "wide"]
        memory = app.screen.remembered()
        again = CompareScreen()
        again.recall(memory)
        assert again.remembered() == memory
        await pilot.press("escape", "escape")
        await until(pilot, "3 runs")


@pytest.mark.parametrize("size", SIZES)
async def test_what_changed_and_the_warning(pair: Lab, size: tuple[int, int]) -> None:
    app = marked(pair, "base", "wide")
    async with app.run_test(size=size) as pilot:
        await until(pilot, "base")
        await pilot.press("9", "v")
        text = await until(pilot, "Arguments")
        words = " ".join(text.split())
        assert "things changed: lr," in words
        assert "cannot be laid to one of them" in words
        assert re.search(r"~ lr +0\.1 \(default\) +→ 0\.5", text)
        assert re.search(r"~ train\.py +\+2 -1", text)
        assert re.search(r"\+ more\.py +\+1 -0", text)
        model = app.screen.views[1].model
        assert isinstance(model, ChangesModel)
        assert {"lr", "code"} <= set(model.things)
        await pilot.press("enter")
        text = await until(pilot, "diff --git")
        await pilot.press("n", "n", "n")
        assert app.screen.views[1].top > 0 or size[1] > 24  # all of it fits on a large screen
        await pilot.press("N")
        await pilot.press("slash", *"# a", "enter")
        text = await until(pilot, "+# a^[[31mb")
        assert "\x1b" not in text
        assert "@@" in app.screen.copied()
        await pilot.press("escape")
        await pilot.press("escape")
        await until(pilot, "Arguments")
        await pilot.press("a", "j", "k", "G", "g")
        assert app.screen.views[1].is_all
        assert app.screen.shown() is not None


@pytest.mark.parametrize("size", SIZES)
async def test_differences_with_their_error_and_examples(pair: Lab, size: tuple[int, int]) -> None:
    app = marked(pair, "base", "wide")
    async with app.run_test(size=size) as pilot:
        await until(pilot, "base")
        await pilot.press("9", "v", "v")
        text = await until(pilot, "better in B")
        assert "worse in B" in text
        assert "set chosen: at step" in text  # not at the end of the longer run
        row = next(line for line in text.split("\n") if "validation" in line)
        assert "accuracy" in row
        assert "0.900" in row
        assert " 40" in row  # the same examples
        loss = next(line for line in text.split("\n") if line.startswith(" set chosen"))
        assert "±" in loss
        assert " 8 " in loss
        shown = app.screen.shown()
        assert shown is not None
        figures = {(row[0], row[1]): row for row in shown.rows}
        assert figures["set chosen", "loss"][6] == 8
        assert figures["last", "loss"][5] is None  # nothing paired: no error is invented
        assert "accuracy" in app.screen.copied()
        first = re.search(r"(\d) of (\d)", text)
        assert first is not None
        await pilot.press("n")
        await until(pilot, f"2 of {first[2]}")
        await pilot.press("N")
        await until(pilot, f"1 of {first[2]}")
        assert all(len(line) <= size[0] for line in screen_text(app).split("\n"))


async def test_three_marked_runs_are_a_table_and_pairs(pair: Lab) -> None:
    app = marked(pair, "base", "wide", "third")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "base")
        await pilot.press("9")
        await until(pilot, "C third")
        await pilot.press("tab")
        text = await until(pilot, "among 3 runs")
        assert "A" in text.split("\n")[4]
        await pilot.press("p")
        await until(pilot, "A base → B wide")
        await pilot.press("p")
        await until(pilot, "A base → C third")
        await pilot.press("p")
        await until(pilot, "among 3 runs")
        await pilot.press("v")
        await until(pilot, "B - A")
        await pilot.press("shift+tab", "shift+tab")
        await until(pilot, "series 1 of")


async def test_without_marks_it_says_what_is_compared(pair: Lab) -> None:
    app = app_on(pair.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "base")
        await pilot.press("G", "9")
        text = await until(pilot, "B base")
        assert "against the best other run by" in text
        await pilot.press("escape")
        app.marks.baseline = ids(pair)["third"]
        await pilot.press("9")
        await until(pilot, lambda text: "A third → B base" in text)
        await until(pilot, "against the baseline")
        app.marks.baseline = ""
        app.marks.toggle(ids(pair)["wide"])
        await pilot.press("escape", "9")
        await until(pilot, "against the one marked")


async def test_a_single_run_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "one")
    assert lab.train("--then", "none").returncode == 0
    app = app_on(lab.book)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "1 run")
        await pilot.press("9")
        await until(pilot, "no other run to compare with")
        await pilot.press("v")
        await until(pilot, "there is no second run")
        await pilot.press("enter", "v")
        await until(pilot, "there is no second run")
        assert app.screen.shown() is None
