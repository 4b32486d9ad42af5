"""The runs page: filter, marks, folds, columns, orders and what it gives to other parts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

import labbook
from labbook_tui.folding import Fold
from labbook_tui.prompt import Prompt
from labbook_tui.screens.columns import ColumnsScreen
from labbook_tui.screens.compare import CompareScreen
from labbook_tui.screens.runs import RunsScreen
from tests.tui.lab import Lab, environment
from tests.tui.screens import app_on, screen_text, until

pytestmark = pytest.mark.timeout(240)

SEEDS = """
import sys
import labbook
book, name, lr, seed, loss, end = sys.argv[1:]
run = labbook.start({"lr": float(lr), "seed": int(seed)}, name=name, book=book, output=False)
for step in range(1, 9):
    run.log({"val/loss": float(loss) + 1 / step, "loss": 1 / step}, step=step)
if end == "fail":
    raise RuntimeError("on purpose")
run.finish()
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From old to new: three seeds of lr 0.1, one of 0.01, two of 0.001 of which one failed."""
    root = tmp_path_factory.mktemp("seeds")
    book = root / ".labbook"
    for name, lr, seed, loss, end in (
        ("big-1", "0.1", "1", "1.0", "end"),
        ("big-2", "0.1", "2", "2.0", "end"),
        ("big-3", "0.1", "3", "3.0", "end"),
        ("mid-1", "0.01", "1", "0.5", "end"),
        ("low-1", "0.001", "1", "0.2", "end"),
        ("low-2", "0.001", "2", "0.4", "fail"),
    ):
        command = [sys.executable, "-c", SEEDS, str(book), name, lr, seed, loss, end]
        done = subprocess.run(
            command, cwd=root, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == (end == "fail"), done.stderr
    return book


NAMES = ["low-2", "low-1", "mid-1", "big-3", "big-2", "big-1"]


def page_of(pilot: Pilot[None]) -> RunsScreen:
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    return screen


def names(pilot: Pilot[None]) -> list[str]:
    table = page_of(pilot).table
    return [table.rows[i].name for i in table.order]


def key_on_screen(pilot: Pilot[None]) -> str:
    return screen_text(pilot.app).split("\n")[-1]  # type: ignore[arg-type]


def line_of(text: str, *words: str) -> str:
    found = [line for line in text.split("\n") if all(word in line for word in words)]
    assert found, f"no line with {words} in\n{text}"
    return found[0]


# ---------------------------------------------------------------------- filter


@pytest.mark.parametrize(
    "words",
    [
        "lr>1e-3 and state=finished", "val/loss<0.7", "state:failed,killed", "big", "-big",
        "name~low or seed=3", "(lr:0.1 -seed=1) or mid", "since:1h dirty:no", "not seed",
        "last.loss<1 min.val/loss>1", "tag:x", "lr!=0.1,0.01", "state!=failed age<1h",
    ],
)  # fmt: skip
async def test_the_command_line_and_the_page_choose_the_same_runs(book: Path, words: str) -> None:
    command = [sys.executable, "-m", "labbook.cli", "ls", "--json", "--book", str(book)]
    done = subprocess.run(
        [*command, "--where", words], env=environment(), capture_output=True, text=True, check=True
    )
    expected = [run["id"] for run in json.loads(done.stdout)]
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "mid-1")
        await pilot.press("slash", *words, "enter")
        page = page_of(pilot)
        assert page.look.filter == words
        assert [page.table.rows[i].id for i in page.table.order] == expected


async def test_a_half_typed_filter_keeps_the_rows_and_says_what_is_wrong(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "mid-1")
        await pilot.press("slash", *"lr>0.05")
        await until(pilot, "3 of 6")
        await pilot.press(*" seed>>1")
        text = await until(pilot, "expected a value after '>' at '>1'")
        assert " / lr>0.05 seed>>1" in text
        assert names(pilot) == NAMES[3:]
        await pilot.press("ctrl+w", *" colour:red")
        await until(pilot, "no run here has a field 'colour'")
        assert names(pilot)
        await pilot.press("ctrl+w", *" zzz")
        text = await until(pilot, "0 of 6: no run matches")
        assert names(pilot)  # until it is meant so
        await pilot.press("enter")
        assert names(pilot) == []
        await until(pilot, "esc clears it")
        await pilot.press("escape")
        assert names(pilot) == NAMES


# ---------------------------------------------------------------------- marks


async def test_marks_keep_their_letters_and_lead_to_the_comparison(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "mid-1")
        await pilot.press("c")
        assert not isinstance(app.screen, CompareScreen)
        await until(pilot, "nothing is marked: space marks a run")
        await pilot.press("space", "j", "space", "j", "space", "k", "space")
        text = await until(pilot, "c compare 2 marked")
        assert line_of(text, "low-2").startswith(" A ")
        assert line_of(text, "mid-1").startswith(" C ")
        assert line_of(text, "low-1").startswith("    ")
        await until(pilot, lambda text: "A low-2" in text and "C mid-1" in text)  # the curves
        await pilot.press("b")
        assert line_of(screen_text(app), "low-1").startswith("  * ")
        await pilot.press("j", "b")
        assert line_of(screen_text(app), "mid-1").startswith(" C* ")
        assert line_of(screen_text(app), "low-1").startswith("    ")
        await pilot.press("c")
        assert isinstance(app.screen, CompareScreen)
        await pilot.press("escape", "9")
        assert isinstance(app.screen, CompareScreen)
        await pilot.press("escape", "u")
        assert app.marks.ids == ()
        assert app.marks.baseline == ""
        assert "compare" not in key_on_screen(pilot)


async def test_an_eighth_mark_is_refused_aloud(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "first")
        for n in range(7):
            app.marks.toggle(f"another {n}")
        await pilot.press("space")
        await until(pilot, "A to G are taken: u clears them")
        assert len(app.marks.ids) == 7


# ---------------------------------------------------------------------- folds


async def test_seeds_fold_into_mean_and_deviation(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "mid-1")
        await pilot.press("v")
        text = await until(pilot, "3 runs")
        assert names(pilot) == ["low…", "mid-1", "big…"]
        assert "2.125 ±1.000" in line_of(text, "3 runs")
        assert "▸ 2 runs 1✗" in line_of(text, "low…")
        alone, folded = line_of(text, "mid-1"), line_of(text, "3 runs")
        assert alone.index("0.625") == folded.index("2.125")  # on the point
        assert "seed" not in text.split("\n")[1]
        await pilot.press("G", "enter")
        assert names(pilot) == ["low…", "mid-1", "big…", "big-3", "big-2", "big-1"]
        text = await until(pilot, "same code, same arguments but seeds")
        assert "▾ 3 runs" in text
        await pilot.press("space")
        assert names(pilot) == ["low…", "mid-1", "big…"]
        await pilot.press("space", "j", "space")
        assert app.marks.letter(page_of(pilot).table.rows[3].id) == "A"
        await pilot.press("v")
        assert names(pilot) == NAMES


async def test_folds_are_sorted_by_their_mean(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "mid-1")
        await pilot.press("v", "o", *"-val/loss", "enter")
        assert names(pilot) == ["big…", "mid-1", "low…"]
        await pilot.press("S")
        assert names(pilot) == ["low…", "mid-1", "big…"]


async def test_nothing_to_fold_is_said(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("v")
        await until(pilot, "no two runs differ only in a seed")
        assert not any(isinstance(row, Fold) for row in page_of(pilot).table.rows)


# ---------------------------------------------------------------------- orders and columns


async def test_sorting_by_a_typed_field_that_is_no_column(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "mid-1")
        await pilot.press("o", *"-xlr")
        await until(pilot, "did you mean lr?")
        assert names(pilot) == NAMES
        await pilot.press("ctrl+u", *"max.val/loss")
        await pilot.press("enter")
        assert names(pilot)[0] == "low-1"
        await pilot.press("o", *"created", "enter")
        text = await until(pilot, "▴ created")
        assert names(pilot) == NAMES[::-1]
        assert text.split("\n")[0].startswith(" labbook")
        await pilot.press("o", "l", "escape")
        assert names(pilot) == NAMES


async def test_columns_are_chosen_ordered_found_and_reset(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "mid-1")
        page = page_of(pilot)
        first = [column.key for column in page.table.columns]
        await pilot.press("E")
        text = await until(pilot, "columns of the runs")
        assert "[✓] step" in text
        assert isinstance(app.screen, ColumnsScreen)
        await pilot.press("space")  # step is hidden
        await pilot.press("slash", *"max.val", "enter")
        await until(pilot, "[ ] max.val/loss")
        await pilot.press("space", "escape", "J", "escape")
        assert isinstance(app.screen, RunsScreen)
        keys = [column.key for column in page.table.columns]
        assert "step" not in keys
        assert keys[-1] == "max.val/loss"
        assert keys[4:6] == ["best.val/loss", "last.val/loss"]
        assert page.remembered()["columns"] == keys[4:]
        await pilot.press("E", "r", "E")
        assert [column.key for column in page.table.columns] == first
        assert page.remembered()["columns"] is None


async def test_a_glance_gives_trend_and_evaluation_lag(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        page = page_of(pilot)
        page._choose(["spark", "lag", "gpu", "silent"])
        text = await until(pilot, lambda text: "█" in line_of(text, "first", "finished"))
        first = line_of(text, "first", "finished")
        assert " 20 " in first  # checkpoint 60 is not evaluated, 40 is
        assert "%" not in first
        found = page.glances[page.table.rows[3].id]
        assert (found.lag, found.waiting, found.gpu) == (20, 1, None)
        assert len(found.spark) == 8
        assert page.glances[page.table.rows[2].id].lag is None


# ---------------------------------------------------------------------- for other parts


async def test_what_is_shown_is_given_as_data(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(60, 20)) as pilot:
        await until(pilot, "mid-1")
        page = page_of(pilot)
        await pilot.press("slash", *"lr>0.005", "enter")
        shown = page.shown()
        assert shown is not None
        rows = [dict(zip(shown.columns, row, strict=True)) for row in shown.rows]
        assert [row["name"] for row in rows] == ["mid-1", "big-3", "big-2", "big-1"]
        assert [row["args.lr"] for row in rows] == [0.01, 0.1, 0.1, 0.1]
        assert rows[0]["last.val/loss"] == 0.625
        assert rows[0]["state"] == "finished"
        assert rows[0]["id"] == labbook.open(book).run("mid-1").id == page.copied()
        await pilot.press("v")
        shown = page.shown()
        assert shown is not None
        rows = [dict(zip(shown.columns, row, strict=True)) for row in shown.rows]
        assert [row["runs"] for row in rows] == [1, 3]
        assert rows[1]["last.val/loss"] == 2.125
        await pilot.press("G")
        assert len(page.copied().split("\n")) == 3


async def test_the_look_comes_back_and_damage_is_left_out(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "mid-1")
        page = page_of(pilot)
        await pilot.press("slash", *"lr>0.005", "enter", "o", *"-lr", "enter", "p", "v")
        page._choose(["args.lr", "id"])
        memory: dict[str, Any] = json.loads(json.dumps(page.remembered()))
    again = app_on(book)
    async with again.run_test(size=(120, 40)) as pilot:
        page_of(pilot).recall(memory)  # before the runs are read
        await until(pilot, "mid-1")
        page = page_of(pilot)
        assert page.remembered() == memory
        assert names(pilot) == ["big…", "mid-1"]
        assert not page.preview.display
        for damaged in (
            {"filter": 3, "sort": ["lr"], "columns": [1], "folded": "no", "preview": None},
            {"filter": "lr>>", "sort": ["gone", True], "columns": "id"},
            {"sort": [True, "lr"], "columns": ["nothing.here"]},
        ):
            page.recall(damaged)
            await pilot.pause()
        assert page.table.columns
        assert "mid-1" in names(pilot)


async def test_a_remembered_filter_that_no_run_knows_is_dropped(book: Path) -> None:
    app = app_on(book)
    async with app.run_test(size=(120, 40)) as pilot:
        page_of(pilot).recall({"filter": "momentum>0.5"})
        await until(pilot, "mid-1")
        assert page_of(pilot).look.filter == ""
        assert names(pilot) == NAMES


# ---------------------------------------------------------------------- what may go wrong


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_the_dirty_mark_is_on_screen_wherever_the_columns_are(
    lab: Lab, size: tuple[int, int]
) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=size) as pilot:
        await until(pilot, "first")
        for key in ("l", "l", "l", "v", "space", "h"):
            await pilot.press(key)
            row = line_of(screen_text(app), "second", "finished")
            assert row.split("finished")[1].split()[:2] == ["second", "!"]


async def test_folders_that_are_no_runs_are_rows_with_a_reason(lab: Lab, tmp_path: Path) -> None:
    own = tmp_path / ".labbook"
    shutil.copytree(lab.book, own, symlinks=True)
    damaged = own / "runs" / "20990101-000000-00000a"
    damaged.mkdir()
    (damaged / "run.json").write_text("{ not json")
    (own / "runs" / "20990101-000000-00000b").mkdir()
    (own / "runs" / "holiday photos").mkdir()
    app = app_on(own)
    async with app.run_test(size=(120, 40)) as pilot:
        text = await until(pilot, "first")
        assert "? unknown" in line_of(text, damaged.name)
        await until(pilot, "has no run.json: it is no complete run")
        for key in ("space", "c", "escape", "u", "v", "s", "S", "E", "escape", "y", "j", "space"):
            await pilot.press(key)
        assert "holiday" not in screen_text(app)


async def test_a_run_removed_while_it_is_shown_and_marked(lab: Lab, tmp_path: Path) -> None:
    own = tmp_path / ".labbook"
    shutil.copytree(lab.book, own, symlinks=True)
    app = app_on(own)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        await pilot.press("space", "j", "space")
        await until(pilot, lambda text: "A gone" in text and "B broken" in text)
        shutil.rmtree(own / "runs" / labbook.open(own).run("gone").id)
        text = await until(pilot, "3 runs")
        assert line_of(text, "broken").startswith(" B ")
        await pilot.press("k", "enter", "escape", "space", "p", "p")
        assert os.path.exists(own)
        await until(pilot, "3 runs")


async def test_tab_completes_a_filter_and_shows_what_there_is(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "first")
        page = app.screen
        await pilot.press("slash", *"sta", "tab")
        await until(pilot, "/ state")
        await pilot.press(*":f")
        await until(pilot, lambda text: "finished  failed" in text)
        prompt = page.query_one(Prompt)
        for wanted in ("state:finished", "state:failed", "state:finished"):
            await pilot.press("tab")
            assert prompt.value == wanted
        await pilot.press("shift+tab", "enter")
        assert page.look.filter == "state:failed"
        assert [row.name for row in page.table.rows] == ["broken"]
        await pilot.press("escape", "o", "minus", *"val", "tab", "enter")
        assert page.look.sorted_by == ("last.val/loss", True)
        await until(pilot, lambda text: "finished  failed" not in text)


async def test_what_cannot_be_completed_leaves_tab_without_effect(lab: Lab) -> None:
    app = app_on(lab.book, labbook.open(lab.book).run("first").id, "conditions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "train.py")
        await pilot.press("slash", "s", "tab")
        assert app.screen.query_one(Prompt).value == "s"
        assert app.screen.query_one(Prompt).size.height == 1
        await pilot.press("o")  # the keys are still typed, not given to the page
        assert app.screen.query_one(Prompt).value == "so"
