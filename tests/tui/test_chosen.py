"""The page of a chosen set: every key in the real app, on sets whose every cell is known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from textual.pilot import Pilot

from labbook_tui.app import LabbookApp
from labbook_tui.models import ChosenModel
from labbook_tui.views.chosen import PAGES, ChosenView
from tests.tui.chosen_book import make_book
from tests.tui.screens import app_on, screen_text, until

pytestmark = pytest.mark.timeout(240)

LARGE, SMALL = (120, 40), (80, 24)


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_book(tmp_path_factory.mktemp("chosen sets"))


def run_id(book: Path, name: str) -> str:
    """The run's id, which the app is opened with."""
    for file in book.glob("runs/*/run.json"):
        if json.loads(file.read_text())["name"] == name:
            return file.parent.name
    raise AssertionError(name)


def opened(book: Path, name: str) -> LabbookApp:
    return app_on(book, run_id(book, name), "chosen")


async def ready(pilot: Pilot[None], words: str) -> ChosenView:
    """The view, once its model is on the screen."""
    await until(pilot, words)
    return pilot.app.screen.query_one(ChosenView)


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_map_and_panel_say_what_was_recorded(book: Path, size: tuple[int, int]) -> None:
    async with opened(book, "classes").run_test(size=size) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        text = screen_text(pilot.app)  # type: ignore[arg-type]
        assert view.look.example_id == 1  # the one that is never right has the greatest loss
        assert "example 1  at step 80" in text
        assert "never learned" in text
        assert "softmax of output" in text
        assert "✗" in text
        assert all(len(line) <= size[0] for line in text.split("\n"))


async def test_examples_and_steps_are_gone_through(book: Path) -> None:
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        final = [view.model.grids["loss"][row, -1] for row in view.look.rows]
        assert final == sorted(final, reverse=True)
        await pilot.press("h")
        assert view.look.observation == 6
        await until(pilot, "at step 70")
        await pilot.press("H")
        assert view.look.observation == 0
        await pilot.press("L", "G")
        assert view.look.observation == 7
        assert view.look.place == 5
        await pilot.press("k", "g")
        assert view.look.place == 0


async def test_measures_are_gone_through_and_named(book: Path) -> None:
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "loss")
        seen = [view.look.measure]
        for words in ("confidence 0", "wrong  ", "loss 0"):
            await pilot.press("t")
            await until(pilot, words)
            seen.append(view.look.measure)
        assert seen == ["loss", "confidence", "correct", "loss"]


async def test_orders_keep_the_example(book: Path) -> None:
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        await pilot.press("j")
        example = view.look.example_id
        seen = []
        for _ in range(7):
            await pilot.press("o")
            seen.append(view.look.order_name)
            assert view.look.example_id == example
            await until(pilot, f"by {view.look.order_name}")
        assert seen == [
            "mean loss", "change", "times forgotten", "first learned", "class", "id", "final loss",
        ]  # fmt: skip


async def test_only_wrong_ones_and_filters(book: Path) -> None:
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        await pilot.press("a")
        await until(pilot, "1 of 6 examples")
        assert [int(view.model.ids[row]) for row in view.look.rows] == [1]
        await pilot.press("a", "slash", *"forgot>=1")
        await until(pilot, "1 of 6 examples")
        assert view.look.example_id == 0
        await pilot.press("enter", "escape")
        await until(pilot, "6 examples ×")
        await pilot.press("slash", *"nothing-like-it")
        await until(pilot, "no example is left")
        await pilot.press("escape")
        await until(pilot, "6 examples ×")


async def test_changes_are_gone_through(book: Path) -> None:
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        view.look.go(0)
        await pilot.press("N")  # right at 30 and 40, wrong at 50 and 60, right from 70 on
        await until(pilot, "at step 70")
        await pilot.press("N")
        text = await until(pilot, "at step 50")
        assert "learned 30, forgotten 1×, last changed 70" in text
        assert [w in text for w in ("learned", "forgotten")] == [True, True]
        await pilot.press("N")
        await until(pilot, "at step 30")
        await pilot.press("N", "n")
        await until(pilot, "at step 50")


async def test_one_example_large_and_back(book: Path) -> None:
    async with opened(book, "classes").run_test(size=SMALL) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        view.look.go(0)
        await pilot.press("enter")
        text = await until(pilot, "outputs over 8 steps")
        rows = [line.split("│")[1] for line in text.split("\n") if "│" in line]
        [here] = [row for row in rows if "▸" in row]
        assert here.split()[1] == "80"
        events = [
            row.split()[-1] for row in rows if row.rstrip().endswith(("learned", "forgotten"))
        ]
        assert events == ["learned", "forgotten", "learned"]
        await pilot.press("h", "j")
        await until(pilot, "at step 70")
        assert view.is_large
        await pilot.press("escape")
        await until(pilot, "6 examples ×")
        assert not view.is_large


async def test_every_inner_page_and_back(book: Path) -> None:
    words = {
        "scatter": "variability of confidence over 8 steps",
        "quartiles": "quartiles of the loss at step 80",
        "histogram": "class: predicted at step 80",
        "summary": "share right",
        "map": "loss 0",
    }
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        for page in (*PAGES[1:], PAGES[0]):
            await pilot.press("v")
            assert view.page == page
            await until(pilot, words[page])
        await pilot.press("V")
        await until(pilot, "share right")
        await pilot.press("escape")
        await until(pilot, "loss 0")


async def test_cursors_are_the_same_on_every_page(book: Path) -> None:
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        await pilot.press("j", "h", "v", "v")
        await until(pilot, "at step 70")
        found = view.shown()
        assert [row[0] for row in found.rows] == [0, 0.25, 0.5, 0.75, 1]
        losses = [row[2] for row in found.rows]
        assert losses == sorted(losses)
        await pilot.press("k", "k", "k", "k", "k")
        assert view.look.example_id == found.rows[0][1]
        await pilot.press("v", "h")
        text = await until(pilot, "predicted at step 60")
        assert "▴60" in text
        [(_, predicted, target), *_] = view.shown().rows
        model = view.model
        outputs = [model.recorded.output(row, 5).argmax() for row in range(6)]
        labels = [model.examples[row].label for row in range(6)]
        assert (predicted, target) == (outputs.count(0), labels.count(0))


async def test_summary_has_further_charts_where_it_is_small(book: Path) -> None:
    async with opened(book, "classes").run_test(size=SMALL) as pilot:
        await ready(pilot, "6 examples × 8 steps")
        await pilot.press("V")
        await until(pilot, "charts 1–2 of 6")
        await pilot.press("ctrl+d")
        await until(pilot, "charts 3–4 of 6")
        await pilot.press("ctrl+u")
        text = await until(pilot, "charts 1–2 of 6")
        assert "share right" in text


async def test_another_set_without_outputs(book: Path) -> None:
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "chosen (1 of 2)")
        await pilot.press("c")
        await until(pilot, "train (2 of 2): 4 examples × 8 steps")
        assert list(view.model.grids) == ["loss"]
        for word in ("variability of loss", "quartiles of the loss", "no predictions", "loss"):
            await pilot.press("v")
            await until(pilot, word)
        await pilot.press("a", "n")
        assert not view.look.only_wrong
        await pilot.press("c")
        await until(pilot, "chosen (1 of 2)")


async def test_numbers_have_an_error_and_a_curve(book: Path) -> None:
    async with opened(book, "numbers").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "5 examples × 8 steps")
        assert list(view.model.grids) == ["loss", "error"]
        text = screen_text(pilot.app)  # type: ignore[arg-type]
        assert "40 values" in text
        await pilot.press("enter")
        text = await until(pilot, "outputs over 8 steps")
        assert "error" in text
        await pilot.press("v", "v", "v")
        await until(pilot, "output: predicted at step 80")
        shown = view.shown()
        assert sum(row[1] for row in shown.rows) == sum(row[2] for row in shown.rows) == 5


async def test_texts_without_a_loss_have_no_map_but_outputs(book: Path) -> None:
    async with opened(book, "texts").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "no loss was recorded")
        await pilot.press("enter")
        text = await until(pilot, "greedy (as bytes)")
        assert "abd" in text
        assert "0.750" in text
        assert "once upon" in text
        assert "\x1b" not in text
        await pilot.press("N")
        await until(pilot, "at step 70")
        await pilot.press("N")
        await until(pilot, "at step 50")
        assert view.copied() == "example 0, step 50, output abc"


async def test_a_set_never_observed_says_so(book: Path) -> None:
    async with opened(book, "unseen").run_test(size=SMALL) as pilot:
        await until(pilot, "nothing observed yet")
        await pilot.press(
            "j", "l", "n", "N", "o", "t", "a", "enter", "v", "v", "v", "v", "c", "escape"
        )
        await until(pilot, "nothing observed yet")


async def test_what_is_copied_exported_and_remembered(book: Path) -> None:
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        label = view.model.examples[1].label
        wrong = (label + 1) % 3
        assert view.copied().startswith(f"example 1, step 80, target {label}, output {wrong} 0.9")
        shown = view.shown()
        assert shown.columns[:3] == ("example", "index", "target")
        assert [row[0] for row in shown.rows] == [int(view.model.ids[r]) for r in view.look.rows]
        await pilot.press("o", "t", "a", "enter")
        assert view.shown().columns[:3] == ("step", "loss", "output")
        assert view.shown().name == "chosen-example-1"
        memory = json.loads(json.dumps(view.remembered()))
        other = ChosenView()
        other.recall(memory)
        assert other.remembered() == memory
        other.recall({"page": 3, "order": None, "measure": [], "only_wrong": "yes"})
        assert not other.look.only_wrong


async def test_more_observations_wait_and_keys_do_not(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChosenView, "EVERY_S", 3600.0)
    async with opened(book, "classes").run_test(size=LARGE) as pilot:
        view = await ready(pilot, "6 examples × 8 steps")
        assert view.model is not None

        def first(n: int, **others: object) -> ChosenModel:
            model = view.model
            assert model is not None
            grids = {name: grid[:, :n] for name, grid in model.grids.items()}
            marks = dict.fromkeys(("changed", "learned", "forgotten"))
            return dataclasses.replace(model, steps=model.steps[:n], grids=grids, **marks, **others)

        view.take(first(5))
        await pilot.pause()
        assert "6 examples × 8 steps" in screen_text(pilot.app)  # type: ignore[arg-type]
        await pilot.press("j")
        await until(pilot, "6 examples × 5 steps")
        view.take(first(4, notes=("something else",)))
        await until(pilot, "6 examples × 4 steps")
