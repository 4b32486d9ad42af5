"""What every page has: copy, export, the palette, and a memory of how it was looked at."""

from __future__ import annotations

import csv
import io
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import labbook
from labbook_tui.commands import Command, found
from labbook_tui.curve import Curve
from labbook_tui.export import as_csv, export, folder_for
from labbook_tui.memory import Memory
from labbook_tui.palette import Ink
from labbook_tui.png import as_png
from labbook_tui.screens.run import RunScreen
from labbook_tui.screens.runs import RunsScreen
from labbook_tui.shown import Shown
from labbook_tui.svg import as_svg
from labbook_tui.views.conditions import ConditionsView
from labbook_tui.views.curves import CurvesView
from tests.tui.lab import Lab
from tests.tui.screens import app_on, until

NUMBERS = (("first", 0.1 + 0.2, None), ('a "quoted", name', float("nan"), 3))


def shown(curves: tuple[Curve, ...] = ()) -> Shown:
    return Shown("runs", ("name", "loss", "step"), NUMBERS, "a <title>", "step", curves)


def curve(n: int) -> Curve:
    y = np.zeros(n)
    y[n // 3], y[n // 2] = 7.0, np.nan
    return Curve("train/<loss>", np.arange(n, dtype=float), y)


def test_csv_keeps_all_digits_and_leaves_the_unknown_empty() -> None:
    rows = [*csv.reader(as_csv(shown()).splitlines())]
    assert rows == [
        ["name", "loss", "step"],
        ["first", "0.30000000000000004", ""],
        ['a "quoted", name', "nan", "3"],
    ]


def test_export_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "runs.svg").write_text("mine")
    paths = export(shown((curve(10),)), tmp_path)
    assert [path.name for path in paths] == ["runs-2.csv", "runs-2.svg"]
    assert (tmp_path / "runs.svg").read_text() == "mine"


def test_export_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    (path,) = export(Shown("../../x", ("a",), ((1,),)), tmp_path)
    assert path.parent == tmp_path
    assert path.is_file()


def test_nothing_is_exported_into_the_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = tmp_path / ".labbook"
    (book / "runs").mkdir(parents=True)
    monkeypatch.chdir(book / "runs")
    assert folder_for(book) == tmp_path
    monkeypatch.chdir(tmp_path)
    assert folder_for(book) == tmp_path


@pytest.mark.parametrize("n", [1, 12, 100_000])
def test_svg_is_valid_and_breaks_at_a_gap(n: int) -> None:
    text = as_svg(shown((curve(n), Curve("none", np.array([]), np.array([])))))
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    words = [element.text for element in root.iter(f"{space}text")]
    assert {"a <title>", "train/<loss>", "step"} <= {*words}
    drawn = [path for path in root.iter(f"{space}path") if path.get("stroke-width") == "1.5"]
    assert len(drawn) == (2 if n > 1 else 0)
    assert len(text) < 200_000
    if n > 1:  # the one high value is not lost by thinning out
        heights = [float(part.split()[1]) for part in drawn[0].get("d", "M")[1:].split("L")]
        assert min(heights) < 60 < max(heights)


@pytest.mark.parametrize("n", [1, 12, 100_000])
def test_png_has_the_curves_in_their_hues(n: int) -> None:
    flat = Curve("日本 \x1b[31m", np.arange(3.0), np.array([1.0, 1.0, 1.0]), points=True)
    data = as_png(shown((curve(n), flat, Curve("none", np.array([]), np.array([])))))
    image = Image.open(io.BytesIO(data)).convert("RGB")
    assert image.size == (1600, 2 * (450 + 2 * 18))
    colours = {colour for _, colour in image.getcolors(1 << 24)}
    for hue in Ink(dark=False).hues[:2]:
        assert tuple(bytes.fromhex(hue)) in colours
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert len(data) < 300_000


async def test_a_chart_becomes_a_png(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    app = app_on(lab.book, labbook.open(lab.book).run("first").id)
    async with app.run_test(size=(150, 24)) as pilot:
        await until(pilot, "val/loss")
        await pilot.press("P")
        await until(pilot, "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
        monkeypatch.setitem(sys.modules, "PIL", None)
        await pilot.press("P")
        await until(pilot, "pip install pillow; e writes an SVG")
        assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
        await pilot.press("7", "P")
        await until(pilot, "no chart to draw here")


def test_palette_finds_all_words_and_the_exact_name_first() -> None:
    names = [f"run: model-{n}  2026-{n:05d}" for n in range(10_000)]
    commands = [Command(name, "", print) for name in [*names, "page: curves", "curves"]]
    assert [hit.text for _, hit in found(commands, "curves")] == ["curves", "page: curves"]
    assert found(commands, "9999 model-")[0][1].text == names[9999]
    assert len(found(commands, "run")) == 40
    assert found(commands, "nothing like it") == []


async def test_palette_opens_a_run_by_name_and_a_series(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "4 runs")
        await pilot.press("colon", *"second")
        await until(pilot, "run: second")
        await pilot.press("down", "enter")
        await until(pilot, "val/loss")
        assert isinstance(app.screen, RunScreen)
        await pilot.press("ctrl+p", *"series: val/loss", "down", "enter")
        await until(pilot, lambda text: "A loss" not in text and "8 Events" in text)
        await pilot.press("ctrl+p", *"series: lr", "down", "enter")
        await until(pilot, "this run has no series lr")


async def test_palette_has_no_commands_that_make_no_sense_here(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "4 runs")
        await pilot.press("ctrl+p")
        text = await until(pilot, "page: curves")
        assert "creenshot" not in text
        assert "aximize" not in text


async def test_palette_presses_a_key_of_the_page(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "4 runs")
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        before = screen.has_preview
        await pilot.press("ctrl+p", *"preview on", "down", "enter")
        await until(pilot, lambda _: screen.has_preview is not before)


async def test_copy_says_what_was_copied(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "4 runs")
        monkeypatch.setattr(app.screen, "copied", lambda: "20260101-abc")
        await pilot.press("y")
        await until(pilot, "copied 20260101-abc")
        assert app.clipboard == "20260101-abc"
        monkeypatch.setattr(app.screen, "copied", lambda: "")
        await pilot.press("y")
        await until(pilot, "nothing to copy here")
        assert app.clipboard == "20260101-abc"


async def test_export_shows_the_path(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    app = app_on(lab.book)
    async with app.run_test(size=(150, 24)) as pilot:
        await until(pilot, "4 runs")
        monkeypatch.setattr(app.screen, "shown", shown)
        await pilot.press("e")
        await until(pilot, "runs.csv")
        assert (tmp_path / "runs.csv").read_text() == as_csv(shown())
        tmp_path.joinpath("runs.csv").unlink()
        monkeypatch.setattr(app.screen, "shown", lambda: None)
        await pilot.press("e")
        await until(pilot, "nothing to export here")
        assert [*tmp_path.iterdir()] == []


async def test_view_is_remembered_over_a_restart(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    recalled = []
    monkeypatch.setattr(CurvesView, "remembered", lambda _: {"axis": "hours"})
    monkeypatch.setattr(CurvesView, "recall", lambda _, memory: recalled.append(memory))
    app = app_on(lab.book, run=None)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "4 runs")
        app.marks.toggle("a-run")
        app.marks.baseline = "another"
        await pilot.press("T", "2")
        await until(pilot, "val/loss")
        await pilot.press("1", "q")
    assert recalled == []
    after = app_on(lab.book)
    assert after.theme == "labbook-light"
    assert after.marks.ids == ("a-run",)
    assert after.marks.baseline == "another"
    async with after.run_test(size=(80, 24)) as pilot:
        await until(pilot, "4 runs")
        await pilot.press("2")
        await until(pilot, "val/loss")
    assert recalled == [{"axis": "hours"}]


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"format": 9, "marks": 3}', '{"format": 1, "marks": 3}', "\xff"]
)
def test_damaged_memory_is_ignored(lab: Lab, text: str) -> None:
    path = Memory(lab.book).path
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="latin-1")
    app = app_on(lab.book)
    assert app.theme == "labbook-dark"
    assert app.marks.ids == ()
    app.memory.content["theme"] = "labbook-light"
    assert app.memory.keep()
    assert json.loads(path.read_text())["theme"] == "labbook-light"


def test_memory_that_cannot_be_written_is_no_error(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    memory = Memory(lab.book)
    memory.content["theme"] = "x"
    assert memory.keep() is False


def test_memory_of_two_books_is_apart(lab: Lab, tmp_path: Path) -> None:
    assert Memory(lab.book).path != Memory(tmp_path).path
    assert Memory(lab.book).path == Memory(lab.book / ".." / lab.book.name).path


async def test_reopened_it_stands_where_it_was_left(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, "first")
        table = app.screen.table
        await pilot.press("o", *"lr", "enter")  # sorted by the learning rate
        order = [row.name for row in table.rows]
        table.go(next(at for at, row in enumerate(table.rows) if row.name == "second"))
        await pilot.pause()
        await pilot.press("6")
        await until(pilot, "train.py")
        conditions = app.screen.query_one(ConditionsView)
        await pilot.press("a")
        assert conditions.is_all
        await pilot.press("escape", "q")
    again = app_on(lab.book)
    async with again.run_test(size=(100, 30)) as pilot:
        await until(pilot, "first")
        assert isinstance(again.screen, RunsScreen)
        assert again.screen.table.current.name == "second"
        assert [row.name for row in again.screen.table.rows] == order
        await pilot.press("enter")
        await until(pilot, "train.py")
        assert again.screen.number == 6
        assert again.screen.query_one(ConditionsView).is_all


async def test_the_newest_is_still_followed_where_nothing_was_chosen(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, "first")
        assert app.screen.remembered()["row"] == ""
        app.screen.recall({"row": ["damaged"]})
        assert app.screen.remembered()["row"] == ""
    app.memory.content["screens"] = {"run": {"page": 99}}
    assert app.last_page == 2
    app.memory.content["screens"] = {"run": "damaged"}
    assert app.last_page == 2


async def test_a_remembered_run_that_is_gone_leaves_the_cursor_on_top(lab: Lab) -> None:
    app = app_on(lab.book)
    app.memory.content["screens"] = {"runs": {"row": "20200101-000000-aaaaaa"}}
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, "first")
        assert app.screen.table.cursor == 0
        await pilot.press("j")
        assert app.screen.remembered()["row"] == app.screen.table.current.id
