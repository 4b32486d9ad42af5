"""Bytes that the terminal program sends: to start, and each second while runs log.

"Dashboard" is the first page with two runs that log fifty times a second; "Examples" a set of 64
that is observed each two seconds. Beside it Textual's own driver (`--plain-driver`), and what no
program can do without: the characters that changed, without colours or moves.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.report import Figure
from tests.benchmarks.tui_runs import logging_runs
from tests.tui.live_set import observing
from tests.tui.terminal import Terminal, book_option

SIZES = ((120, 40), (80, 24))
OBSERVE_S = 2.0


class Counted(Terminal):
    """Counts the bytes, and those of the characters alone that changed."""

    def watch(self, seconds: float) -> tuple[int, int]:
        """Bytes sent in that time, and bytes of the characters that are others each second."""
        before, least = len(self.data), 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            shown, second = self._cells(), min(until, time.monotonic() + 1.0)
            while (rest := second - time.monotonic()) > 0:
                if select.select([self._fd], [], [], rest)[0]:
                    self._read()
            least += sum(_size(b[0]) for a, b in zip(shown, self._cells(), strict=True) if a != b)
        return len(self.data) - before, least

    def _cells(self) -> list[tuple[str, str, str]]:
        lines = (self.screen.buffer[row] for row in range(self.screen.lines))
        cells = (line[column] for line in lines for column in range(self.screen.columns))
        return [(cell.data, cell.fg, cell.bg) for cell in cells]

    @property
    def characters(self) -> int:
        """Bytes of all characters on the screen that are not blank."""
        return _size("".join(self.screen.display).replace(" ", ""))


def _size(text: str) -> int:
    return len(text.encode())


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    settle, seconds = (1.0, 2.0) if quick else (8.0, 30.0)
    figures = []
    for size in SIZES[:1] if quick else SIZES:
        book = folder / f"{size[0]}" / "book"
        book.parent.mkdir()
        with logging_runs(book, 1 if quick else 2):
            found = [_dashboard(book, size, plain, (settle, seconds)) for plain in (False, True)]
        figures += _rows(f"dashboard, {size[0]}×{size[1]}", found, quick)
        with _observed(folder / f"set {size[0]}") as book:
            found = [_examples(book, size, plain, (settle, seconds)) for plain in (False, True)]
        figures += _rows(f"Examples, {size[0]}×{size[1]}", found, quick)
    return figures


Pair = tuple[int, int]
Counts = tuple[int, int, float, float]
"""Bytes to start, of the characters then, a second, and a second of the characters alone."""


def _dashboard(book: Path, size: Pair, plain: bool, times: tuple[float, float]) -> Counts:
    with _terminal(size, plain, *book_option(book)) as terminal:
        terminal.until(lambda text: "live" in text and "metric0" in text)
        return _counts(terminal, *times)


def _examples(book: Path, size: Pair, plain: bool, times: tuple[float, float]) -> Counts:
    with _terminal(size, plain, "alive", *book_option(book)) as terminal:
        terminal.until("val/loss")
        terminal.press("3")
        terminal.until("64 examples")
        return _counts(terminal, *times)


def _terminal(size: Pair, plain: bool, *arguments: str) -> Counted:
    return Counted(size, *arguments, *["--plain-driver"] * plain, COLORTERM="truecolor")


def _counts(terminal: Counted, settle: float, seconds: float) -> Counts:
    terminal.watch(0.5)  # the rest of the frame
    start, characters = len(terminal.data), terminal.characters
    terminal.watch(settle)
    sent, least = terminal.watch(seconds)
    return start, characters, sent / seconds, least / seconds


@contextlib.contextmanager
def _observed(folder: Path) -> Iterator[Path]:
    """A book with a live run whose set is observed now and then."""
    folder.mkdir(parents=True)
    ended = threading.Event()
    with observing(folder / "book", 64) as observe:
        observe(100)

        def go_on() -> None:
            while not ended.wait(OBSERVE_S):
                observe(1)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield folder / "book"
        finally:
            ended.set()
            thread.join()


def _rows(what: str, found: list[Counts], quick: bool) -> list[Figure]:
    ours, plain = found
    goal = {} if quick else {"goal": "≤ 1,000 B/s", "met": ours[2] <= 1000}
    return [
        Figure(f"{what}: to start", ours[0], "B", ours[1], "the characters alone"),
        Figure(f"{what}: to start", ours[0], "B", plain[0], "--plain-driver"),
        Figure(f"{what}: a second", ours[2], "B/s", ours[3], "the characters alone", **goal),
        Figure(f"{what}: a second", ours[2], "B/s", plain[2], "--plain-driver"),
    ]
