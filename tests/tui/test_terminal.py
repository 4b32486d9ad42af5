"""The program in a real terminal: what its screen shows and how many bytes that takes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from labbook_tui.views.chosen import ChosenView
from tests.tui.lab import Lab, make_lab
from tests.tui.live_set import observing
from tests.tui.terminal import Terminal, book_option, colours_of

pytestmark = pytest.mark.timeout(300)

START_BYTES = 20_000
LIVE_BYTES = 1_000
"""For one update of a live dashboard: there is one a second."""

DEPTHS = {
    "truecolor": {"COLORTERM": "truecolor"},
    "256": {},
    "16": {"TERM": "linux"},
    "none": {"NO_COLOR": "1"},
}


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_all_depths_of_colour_show_the_same_and_stay_small(
    lab: Lab, size: tuple[int, int], depth: str
) -> None:
    with Terminal(size, *book_option(lab.book), **DEPTHS[depth]) as terminal:
        text = terminal.until(lambda text: "B val/loss" in text and "first" in text)
        assert len(terminal.data) < START_BYTES
        assert "4 runs" in text
        assert "killed" in text
        terminal.press("G3")
        by = "x" if depth == "16" else "×"  # in the characters of the Linux console
        terminal.until(lambda text: f"8 examples {by} 6 steps" in text and "output" in text)
        terminal.press("4")
        terminal.until("0.9000 ±0.0474")
        terminal.press("q")
        assert terminal.finish() == 0
        assert colours_of(terminal.data) == ({depth} if depth != "none" else set())


def test_linux_console_gets_characters_its_font_has(lab: Lab) -> None:
    with Terminal((80, 24), *book_option(lab.book), TERM="linux") as terminal:
        text = terminal.until(lambda text: "B val/loss" in text and "first" in text)
        assert "x killed" in text
        terminal.press("G3")
        text += terminal.until(lambda text: "8 examples" in text and "output" in text)
        strange = {char for char in text if ord(char) > 126} - set("░▒▓█·±▀")
        assert strange == set()


def test_live_dashboard_costs_less_than_a_kilobyte_an_update(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "live lab")
    with (
        lab.begin("--called", "alive") as process,
        Terminal((120, 40), *book_option(lab.book), COLORTERM="truecolor") as terminal,
    ):
        assert process.stdin is not None
        terminal.until(lambda text: "B val/loss" in text and " 60 " in text)
        costs = []
        for step in range(1060, 1120, 10):
            more = 1000 if step == 1060 else 10
            before = len(terminal.data)
            process.stdin.write(f"{more}\n")
            process.stdin.flush()
            terminal.until(lambda text, step=step: text.count(f"1 {step % 1000:03d}") == 2)
            costs.append(len(terminal.data) - before)
        # one of them rescales the chart: 1.5 kB; the others are about 200 bytes
        assert sum(costs) < LIVE_BYTES * len(costs), costs
        process.stdin.close()
        terminal.until("✓ finished")


def test_live_run_page_costs_less_than_a_kilobyte_an_update(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "live lab")
    with (
        lab.begin("--called", "alive") as process,
        Terminal((120, 40), "alive", *book_option(lab.book), COLORTERM="truecolor") as terminal,
    ):
        assert process.stdin is not None
        terminal.until(lambda text: "val/loss" in text and "step 60" in text)
        assert len(terminal.data) < START_BYTES
        costs = []
        for step in range(1060, 1120, 10):
            before = len(terminal.data)
            process.stdin.write(f"{1000 if step == 1060 else 10}\n")
            process.stdin.flush()
            terminal.until(f"step 1 {step % 1000:03d}")
            costs.append(len(terminal.data) - before)
        # the first of them rescales the charts
        assert sum(costs[1:]) < LIVE_BYTES * len(costs[1:]), costs


def test_live_examples_cost_less_than_a_kilobyte_a_second(tmp_path: Path) -> None:
    options = ("alive", *book_option(tmp_path / "book"))
    with contextlib.ExitStack() as stack:
        observe = stack.enter_context(observing(tmp_path / "book", 64))
        observe(40)  # from here on there is a book
        terminal = stack.enter_context(Terminal((120, 40), *options, COLORTERM="truecolor"))
        terminal.until("val/loss")
        terminal.press("3")
        terminal.until("64 examples × 40 steps")
        costs = []
        for n in range(41, 49):
            before = len(terminal.data)
            observe(1)
            terminal.until(f"64 examples × {n} steps")
            costs.append(len(terminal.data) - before)
        # the first of them are the rest of the first frame, and other limits of the colours
        assert sum(costs[3:]) < LIVE_BYTES * ChosenView.EVERY_S * len(costs[3:]), costs


def test_plain_driver_shows_the_same(lab: Lab) -> None:
    screens = []
    for options in ([], ["--plain-driver"]):
        with Terminal((80, 24), *book_option(lab.book), *options) as terminal:
            terminal.until(lambda text: "B val/loss" in text and "first" in text)
            terminal.press("G6")
            # drawn from the top: with the last line of the page it is whole
            terminal.until(lambda text: "arguments" in text and text.split("\n")[22].strip())
            # ages and durations go on meanwhile
            screens.append(terminal.text.split("\n")[2:])
    assert screens[0] == screens[1]


def test_small_terminal_gets_a_plain_line(lab: Lab) -> None:
    with Terminal((40, 10), *book_option(lab.book)) as terminal:
        text = terminal.until("labbook ls")
        assert text.split("\n")[:2] == ["labbook needs 60×15 cells.", "This terminal has 40×10."]
        terminal.press("q")
        assert terminal.finish() == 0


def test_run_can_be_named(lab: Lab) -> None:
    with Terminal((80, 24), "second", *book_option(lab.book)) as terminal:
        terminal.until("val/loss")
        terminal.press("1")
        terminal.until("4 runs")


def test_unknown_run_and_missing_book_are_said_before_the_screen_changes(
    lab: Lab, tmp_path: Path
) -> None:
    with Terminal((80, 24), "nothing", *book_option(lab.book)) as terminal:
        assert terminal.finish() == 1
        assert "no run 'nothing'" in terminal.text
        assert b"1049h" not in terminal.data
    with Terminal((80, 24), *book_option(tmp_path / "none")) as terminal:
        assert terminal.finish() == 1
        assert "no book at" in terminal.text
        assert b"1049h" not in terminal.data


def test_terminal_is_left_as_it_was_found(lab: Lab) -> None:
    with Terminal((80, 24), *book_option(lab.book)) as terminal:
        terminal.until("first")
        terminal.press("q")
        assert terminal.finish() == 0
        end = terminal.data.rindex(b"\x1b[?1049l")
        assert b"\x1b[?25h" in terminal.data[end:]
