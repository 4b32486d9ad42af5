"""Checkpoints, one result by example, and the events, in the real app on a real book."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import labbook
from labbook.book.watchers import Watcher, WorkerNow
from labbook.compare.best import best
from labbook_tui.advice import advice_on
from labbook_tui.lines import Line, width_of
from labbook_tui.models import EventRow
from labbook_tui.palette import Ink
from labbook_tui.screens.checkpoint import CheckpointScreen
from labbook_tui.views.curves import CurvesView
from labbook_tui.views.evaluations import EvaluationsView
from labbook_tui.views.events import EventsView
from labbook_tui.views.watchers import watcher_lines, watcher_page
from tests.tui.lab import Lab, make_lab
from tests.tui.screens import app_on, until

pytestmark = pytest.mark.timeout(240)

SIZES = [(80, 24), (120, 40)]


@pytest.mark.parametrize("size", SIZES)
async def test_the_best_and_its_difference_are_those_of_labbook_best(
    lab: Lab, size: tuple[int, int]
) -> None:
    reader = labbook.open(lab.book).run("first")
    told = best(reader, "accuracy")
    [gap] = told.gaps
    app = app_on(lab.book, reader.id, "evaluations")
    async with app.run_test(size=size) as pilot:
        await until(pilot, "accuracy")
        view = app.screen.query_one(EvaluationsView)
        place = view.model.best[("validation", "accuracy")]
        assert view.model.rows[place].step == told.ranking.best.step == 40
        worse = next(i for i, row in enumerate(view.model.rows) if row.step == 20)
        assert view.model.gaps[worse][1].difference == pytest.approx(gap.difference)
        assert view.model.gaps[worse][1].stderr == pytest.approx(gap.stderr)
        await until(pilot, "-0.10")
        await pilot.press("r")
        text = await until(pilot, "$ labbook evaluate")
        assert shlex.split(view.copied())[-1].endswith("step-60.pt")
        await pilot.press("b")
        assert view.current.step == 40
        await until(pilot, lambda text: "$ labbook evaluate" not in text)
        assert all(len(line) <= size[0] for line in text.split("\n"))


async def test_a_checkpoint_by_example_and_against_the_one_before(lab: Lab) -> None:
    reader = labbook.open(lab.book).run("first")
    app = app_on(lab.book, reader.id, "evaluations")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "accuracy")
        await pilot.press("b", "enter")
        await until(pilot, "40 examples")
        screen = app.screen
        assert isinstance(screen, CheckpointScreen)
        correct = screen.model.rows.correct
        assert [correct[row] for row in screen.table.order] == sorted(correct)  # the wrong first
        await until(pilot, "4 wrong")
        await pilot.press("slash", *"wrong", "enter")
        assert len(screen.table.order) == 4
        await pilot.press("escape")
        assert len(screen.table.order) == 40
        await pilot.press("s", "s")
        assert list(screen.model.rows.ids[list(screen.table.order)]) == list(range(40))
        await pilot.press("v")
        text = await until(pilot, "4 newly right")
        assert "0 newly wrong" in text
        assert "against the previous, step 20" in text
        gap = screen.model.gaps["accuracy"]
        assert (gap.n, gap.difference) == (40, pytest.approx(0.1))
        await pilot.press("slash", *"new", "enter")
        ids = screen.model.rows.ids[list(screen.table.order)]
        assert sorted(ids) == [i for i in np.arange(40) if i % 5 == 0 and i % 10]
        assert screen.copied() == str(screen.model.rows.ids[screen.table.current])
        assert len(screen.shown().rows) == 4
        await pilot.press("escape", "escape")
        await until(pilot, "to the best")


async def test_events_by_kind_and_found(lab: Lab) -> None:
    reader = labbook.open(lab.book)
    app = app_on(lab.book, reader.run("broken").id, "events")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "Traceback")
        view = app.screen.query_one(EventsView)
        assert view.model.rows[0].kind == "dirty"
        while view.kind != "failed":
            await pilot.press("f")
        text = await until(pilot, "failed only")
        assert "RuntimeError: out of memory" in text
        assert "Traceback" not in text
        await pilot.press("F", "escape")
        assert view.kind == ""
        await pilot.press("slash", *"runtimeerror", "enter")
        assert "RuntimeError" in view.copied()
        at = view.cursor
        await pilot.press("n")
        assert view.cursor >= at


def watching(pid: int, *workers: WorkerNow, why: str | None = None) -> Watcher:
    state = "stale" if why else "watching"
    names = ["validation", "probe"]
    return Watcher("gpu\x1b[2J", pid, state, why, pid, 0, names, pid, 0, 0, 0, None, [*workers])


def plain(lines: list[Line]) -> str:
    return "\n".join("".join(part.text for part in line) for line in lines)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_two_watchers_stand_above_and_the_others_are_counted_and_listed(width: int) -> None:
    idle = WorkerNow("cuda:0", "idle")
    busy = WorkerNow(
        "cuda:1", "evaluating", name="vit", evaluation="probe", step=40, done=100, total=1000
    )
    watchers = (watching(4, idle, busy), watching(3), watching(2, why="its process 2 is gone"))
    lines = watcher_lines(watchers, width, Ink())
    text = plain(lines)
    assert len(lines) == 3
    assert "cuda:1: vit step 40 probe" in text.replace("  ", " ")
    assert "+1 more, 1 further worker  w lists all" in text
    page = watcher_page(watchers, width, Ink())
    assert plain(page).count("watcher gpu") == 3
    assert "2 stale: its process 2 is gone" in plain(page)
    assert "cuda:0: idle" in plain(page)
    assert plain(page).count("evaluates validation, probe") == 3
    assert "\x1b" not in text + plain(page)
    assert all(width_of(line) <= width for line in [*lines, *page])
    assert watcher_lines((), width, Ink()) == []
    assert len(watcher_lines((watching(1), watching(2)), width, Ink())) == 2


async def test_watchers_open_on_a_key_and_the_metric_is_remembered(lab: Lab) -> None:
    reader = labbook.open(lab.book).run("first")
    app = app_on(lab.book, reader.id, "evaluations")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "accuracy")
        await pilot.press("w")
        await until(pilot, "nobody watches this book")
        await pilot.press("enter", "escape")  # a list has nothing to open
        await until(pilot, "0.9000")
        assert app.screen.query_one(EvaluationsView).remembered() == {}
        await pilot.press("l")
        kept = app.screen.query_one(EvaluationsView).remembered()
        assert kept == {"metric": ["validation", "accuracy"]}
    view = EvaluationsView()
    view.recall({"metric": "damaged"})
    assert view.chosen is None
    view.recall(kept)
    assert view.want("r").detail == ("validation", "accuracy")


async def test_a_long_reason_ends_with_an_ellipsis(lab: Lab) -> None:
    reader = labbook.open(lab.book).run("first")
    app = app_on(lab.book, reader.id, "evaluations")
    async with app.run_test(size=(62, 24)) as pilot:
        text = await until(pilot, "no result yet")
        line = next(line for line in text.split("\n") if line.lstrip().startswith("60"))
        assert line.endswith("…")
        assert len(line) <= 62


async def test_the_input_of_an_example_that_was_chosen(lab: Lab) -> None:
    reader = labbook.open(lab.book).run("first")
    chosen = reader.examples("chosen").column("index").to_pylist()
    app = app_on(lab.book, reader.id, "evaluations")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "accuracy")
        await pilot.press("b", "enter")
        await until(pilot, "40 examples")
        screen = app.screen
        assert isinstance(screen, CheckpointScreen)
        assert sorted(screen.model.examples) == sorted(chosen)

        def point(is_chosen: bool) -> int:
            ids = [int(screen.model.rows.ids[row]) for row in screen.table.order]
            at = next(at for at, id in enumerate(ids) if (id in chosen) is is_chosen)
            screen.table.go(at)
            return ids[at]

        point(False)
        await until(pilot, "the input is not known")
        await pilot.press("i")
        await until(pilot, "the input of this example is not known")
        example = point(True)
        await until(pilot, lambda text: "the input is not known" not in text and "▀" in text)
        await pilot.press("i")
        await until(pilot, lambda text: f"example {example} " in text and "8×8 pixels" in text)
        await pilot.press("i")
        assert app.screen is screen


EVENTFUL = """
import labbook
run = labbook.start(name="eventful", output=False)
for step in range(1, 61):
    run.log({"loss": 2.3 / step}, step=step)
run.event("gradients are not finite", kind="nonfinite", step=30)
fix = "call optimizer.zero_grad() \\x1b[2Jbefore backward"
run._journal.event("finding", "loop/stale-grad: left over", 40, rule="loop/stale-grad", fix=fix)
run._journal.faults["nonfinite"] += 1
run._journal.faults["ENOSPC"] += 2
run.finish()
"""


async def test_enter_on_an_event_goes_to_the_curves_at_its_step(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    (lab.root / "train.py").write_text(EVENTFUL)
    done = lab.train()
    assert done.returncode == 0, done.stderr
    app = app_on(lab.book, labbook.open(lab.book).run("eventful").id, "events")
    async with app.run_test(size=(80, 24)) as pilot:
        text = await until(pilot, "to do")
        assert "labbook restore RUN" in text  # what to do about a dirty tree
        view = app.screen.query_one(EventsView)
        rows = {row.text: row for row in view.model.rows}
        assert rows["nonfinite: 1 time"].step == 30  # of the event of its kind
        assert rows["ENOSPC: 2 times"].step is None
        for words, advice in (
            ("stale-grad", "to do call optimizer.zero_grad() before backward"),
            ("ENOSPC", "free the disk"),
            ("not finite", "gradient clipping"),
        ):
            view.cursor = next(i for i, row in enumerate(view.listed) if words in row.text)
            view.redraw()
            await until(pilot, lambda text, advice=advice: advice in " ".join(text.split()))
        curves = app.screen.query_one(CurvesView)
        curves.axis = "time"  # as it was left
        await pilot.press("enter")
        await until(pilot, "step 30")
        assert app.screen.number == 2
        assert (curves.options.cursor, curves.model.axis) == (30.0, "step")
        await pilot.press("8")
        view.cursor = next(i for i, row in enumerate(view.listed) if "ENOSPC" in row.text)
        await pilot.press("enter")
        await until(pilot, "no step is known here")
        assert app.screen.number == 8


async def test_the_palette_knows_evaluations_by_the_names_of_their_curves(lab: Lab) -> None:
    app = app_on(lab.book)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "first")
        name = next(each for each in app.known_series() if each.endswith("/accuracy"))
        await pilot.press("ctrl+p", *"accuracy")
        await until(pilot, f"series: {name}")


@pytest.mark.parametrize("width", [60, 120])
async def test_a_finding_says_where_and_what_to_do_once(lab: Lab, width: int) -> None:
    fields = {"where": "loss at step 3", "fix": "look at the batch", "advice": "look at outputs"}
    app = app_on(lab.book, labbook.open(lab.book).run("broken").id, "events")
    async with app.run_test(size=(width, 24)) as pilot:
        await until(pilot, "Traceback")
        view = app.screen.query_one(EventsView)
        row = EventRow(None, None, "warn", "loss/spikes: 1 of 9 values", fields)
        view.accept(replace(view.model, rows=(row,)))
        drawn = ["".join(part.text for part in line) for line in view.draw(*view.size)]
        assert [line.strip() for line in drawn[-3:]] == [
            "where    loss at step 3",
            "advice   look at outputs",
            "to do    look at the batch",
        ]


@pytest.mark.parametrize(
    ("kind", "text", "advice"),
    [
        ("remark", "val: of 2 different data sets: not comparable", "over one data set"),
        ("remark", "val: made with 2 codes: not comparable", "with one code"),
        ("incomplete", "val is partial", "labbook evaluate"),
        ("note", "lunch", ""),
        ("fault", "never heard of: 3 times", ""),
        ("", "  File train.py", ""),
    ],
)
def test_what_to_do(kind: str, text: str, advice: str) -> None:
    said = advice_on(EventRow(None, None, kind, text))
    assert advice in said
    assert bool(advice) == bool(said)


STUCK = """
import labbook
with labbook.start(name="stuck", output=False) as run:
    for step in range(300):
        run.log({"loss": 2.3 + 0.001 * (step % 7)}, step=step)
"""


async def test_what_a_check_finds_stands_on_top_of_the_events(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    (lab.root / "train.py").write_text(STUCK)
    assert lab.train().returncode == 0
    app = app_on(lab.book, labbook.open(lab.book).run("stuck").id, "events")
    async with app.run_test(size=(80, 24)) as pilot:
        text = await until(pilot, "loss/no-progress")
        first = next(line for line in text.splitlines() if "loss/no-progress" in line)
        assert " fail " in first
        assert "overfit one batch" in " ".join(text.split())
