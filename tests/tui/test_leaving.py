"""However the program is left, the terminal is as it was found; and what it sends on the way."""

from __future__ import annotations

import base64
import os
import signal
import time
from pathlib import Path

import pytest

from tests.tui.lab import Lab
from tests.tui.terminal import Terminal, book_option

pytestmark = pytest.mark.timeout(300)

FAULTY = """
import sys
from labbook_tui.screens.runs import RunsScreen
def faulty(self): raise RuntimeError("a fault of ours")
RunsScreen.action_preview = faulty
from labbook.cli import main
main(["tui", *sys.argv[1:]])
"""
COPYING = FAULTY.replace("action_preview", "copied").replace(
    'raise RuntimeError("a fault of ours")', 'return "an id"'
)


class Faulty(Terminal):
    PROGRAM = ("-c", FAULTY)


class Copying(Terminal):
    PROGRAM = ("-c", COPYING)


def is_sane(data: bytes) -> bool:
    """The alternate screen left, the cursor shown, the mouse off: each after it was last on."""
    pairs = ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h"))
    pairs += ((b"\x1b[?1000h", b"\x1b[?1000l"), (b"\x1b[?1003h", b"\x1b[?1003l"))
    return all(data.rfind(on) < data.rfind(off) for on, off in pairs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_sane(lab: Lab, number: int) -> None:
    with Terminal((80, 24), *book_option(lab.book)) as terminal:
        terminal.until("first")
        terminal.signal(number)
        assert terminal.finish() == 128 + number
        assert is_sane(terminal.data)


def test_a_fault_leaves_the_terminal_sane_and_names_the_log(lab: Lab) -> None:
    with Faulty((80, 24), *book_option(lab.book)) as terminal:
        terminal.until("first")
        terminal.press("p")
        assert terminal.finish() == 1
        assert is_sane(terminal.data)
        log = Path(os.environ["XDG_STATE_HOME"]) / "labbook/tui/crash.log"
        end = terminal.data[terminal.data.rindex(b"\x1b[?1049l") :]
        assert b"labbook failed: RuntimeError: a fault of ours" in end
        assert b"The traceback is in" in end
        assert "a fault of ours" in log.read_text()


def test_suspended_and_resumed(lab: Lab) -> None:
    with Terminal((80, 24), *book_option(lab.book)) as terminal:
        terminal.until("first")
        terminal.press("\x1a")
        deadline = time.monotonic() + 60
        while not terminal.is_stopped():
            assert time.monotonic() < deadline, "never stopped"
            time.sleep(0.01)
        terminal.screen.reset()
        before = len(terminal.data)
        terminal.signal(signal.SIGCONT)
        terminal.until(lambda text: "first" in text and "q quit" in text)
        assert is_sane(terminal.data[: terminal.data.index(b"\x1b[?1049h", before)])
        terminal.press("q")
        assert terminal.finish() == 0
        assert is_sane(terminal.data)


def test_copy_goes_through_the_terminal(lab: Lab) -> None:
    with Copying((80, 24), *book_option(lab.book)) as terminal:
        terminal.until("first")
        before = len(terminal.data)
        terminal.press("y")
        terminal.until("copied an id")
        sent = b"\x1b]52;c;" + base64.b64encode(b"an id") + b"\x07"
        assert terminal.data.count(sent) == 1
        assert len(terminal.data) - before < 600


def test_ascii_needs_no_symbols(lab: Lab) -> None:
    with Terminal((80, 24), "--ascii", *book_option(lab.book)) as terminal:
        text = terminal.until(lambda text: "x killed" in text and "B val/loss" in text)
        terminal.press("9")
        text += terminal.until("Overlay")
        terminal.press("v")
        text += terminal.until("cannot be laid to one of")
        assert {char for char in text if ord(char) > 126} <= set("░▒▓█·±▀")


@pytest.mark.parametrize("options", [(), ("--plain-driver",)])
def test_a_terminal_that_goes_away_ends_the_program(lab: Lab, options: tuple[str, ...]) -> None:
    with Terminal((80, 24), *options, *book_option(lab.book)) as terminal:
        terminal.until("first")
        assert terminal.hang_up() == 129
