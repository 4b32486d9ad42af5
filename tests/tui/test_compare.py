"""Marked runs side by side, this machine, copy and export: the real app on a real book."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from labbook_tui.marks import Marks
from labbook_tui.screens.compare import CompareScreen
from tests.tui.lab import Lab
from tests.tui.screens import app_on, until

pytestmark = pytest.mark.timeout(240)
SIZES = [(80, 24), (120, 40)]


@pytest.mark.parametrize("size", SIZES)
async def test_marked_runs_are_overlaid_and_what_changed_is_counted(lab: Lab, size) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=size) as pilot:
        await until(pilot, "first")
        await pilot.press("G", "space", "k", "space")
        assert app.marks.letter(app.marks.ids[0]) == "A"
        text = await until(pilot, lambda text: "A" in text and "B" in text)
        await pilot.press("9")
        text = await until(pilot, "1 of")
        assert isinstance(app.screen, CompareScreen)
        assert "first" in text
        assert "second" in text
        assert "dirty tree" in text  # of the second
        name = app.screen.pane.model.name
        await pilot.press("n")
        await until(pilot, lambda text: "2 of" in text and app.screen.pane.model.name != name)
        await pilot.press("v")
        text = await until(pilot, "Arguments")
        assert "lr" in text
        assert all(len(line) <= size[0] for line in text.split("\n"))
        await pilot.press("v")
        text = await until(pilot, "B - A")
        assert "loss, last" in text
        await pilot.press("x")
        await until(pilot, "B - A")
        assert app.screen.letters == ("B", "A")
        assert app.screen.copied().startswith("labbook diff ")
        await pilot.press("escape")
        await until(pilot, "4 runs")


async def test_without_marks_a_run_is_compared_with_its_rival(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("c")
        await until(pilot, "with the best other run by")
        assert len(set(app.screen.ids)) == 2
        await pilot.press("escape", "b")
        baseline = app.marks.baseline
        await pilot.press("j", "9")
        await until(pilot, "with the baseline")
        assert app.screen.ids[0] == baseline
        await pilot.press("l", "s", "r", "right", "left", "tab", "shift+tab", "question_mark")
        await until(pilot, "the two runs the other way round")


async def test_three_marked_runs_make_a_table(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("space", "space", "space", "9", "v")
        await until(pilot, "among 3 runs")
        await pilot.press("v")
        await until(pilot, "only between two runs")
        await pilot.press("1", "u", "9")
        await until(pilot, "with the best other run")


@pytest.mark.parametrize("size", SIZES)
async def test_this_machine_and_its_live_runs(lab: Lab, size) -> None:
    process = lab.begin("--called", "livingrun")
    try:
        app = app_on(lab.book)
        async with app.run_test(size=size) as pilot:
            await until(pilot, "livingrun")
            await pilot.press("m")
            text = await until(pilot, lambda text: "processors" in text and "livingrun" in text)
            assert "memory" in text
            assert "(the book)" in text
            assert all(len(line) <= size[0] for line in text.split("\n"))
            await pilot.press("enter")
            await until(pilot, lambda text: "5 Machine" in text and "livingrun" in text)
            await pilot.press("escape")
            await until(pilot, "processors")
    finally:
        process.kill()
        process.wait()
        import shutil

        import labbook

        shutil.rmtree(labbook.open(lab.book).run("livingrun").paths.root)


async def test_copy_and_export(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("y")
        run = app.screen.table.current
        await until(pilot, f"copied: {run.id}")
        assert app.clipboard == run.id
        await pilot.press("e")
        await until(pilot, "written: ")
        rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
        assert {row["name"] for row in rows} == {"first", "second", "broken", "gone"}
        await pilot.press("e")
        await until(pilot, "runs-2.csv")
        await pilot.press("j")
        await until(pilot, "open at page")
        await pilot.press("9")
        await until(pilot, "1 of")
        await pilot.press("e")
        await until(pilot, "curves.svg")
        assert ET.parse(tmp_path / "curves.svg").getroot().tag.endswith("svg")


def test_marks_keep_their_letters() -> None:
    marks = Marks()
    for name in "tuvwxyz":
        assert marks.toggle(name)
    assert not marks.toggle("more")
    assert marks.toggle("u")
    assert marks.letter("v") == "C"
    assert marks.toggle("more")
    assert marks.letter("more") == "B"
    marks.clear()
    assert marks.ids == ()
