"""A program in a real pseudo-terminal, its screen kept by pyte, its bytes counted."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte

from tests.tui.lab import environment

# what an xterm answers, and what pyte does not know
ANSWERS = (
    (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
    (b"\x1b[c", b"\x1b[?62;22c"),
    (b"\x1b[6n", b"\x1b[1;1R"),
)
UNREAD = re.compile(
    rb"\x1b\[[<>=][0-9;:]*[a-zA-Z]|\x1b\[\?[0-9;]*\$p|\x1b[P_].*?\x1b\\|\x1b\]\d+;.*?(?:\x07|\x1b\\)"
    rb"|\x1b\[\?(?:1049|1000|1002|1003|1015|1006|1016|2004|2048|2026|1004)[hl]",
    re.S,
)
HALF = re.compile(rb"\x1b(?:[P_][^\x1b]*\x1b?)?$")
"""The beginning of a picture's sequence at the end of what has come."""
PATIENCE_S = 90.0
"""Longest silence before a test gives up; only ever spent by a test that fails."""


class Terminal:
    """`labbook tui` with these arguments in a terminal of this size and these variables."""

    PROGRAM: tuple[str, ...] = ("-m", "labbook.cli", "tui")

    def __init__(self, size: tuple[int, int], *arguments: str, **variables: str) -> None:
        columns, rows = size
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.data = b""
        self._held = b""  # of a picture, whose end has not come
        self._fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, *self.PROGRAM, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment(), **variables},
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

    @property
    def text(self) -> str:
        """The screen, line by line."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._fd, keys.encode())

    def signal(self, number: int) -> None:
        """Send the program a signal."""
        self._process.send_signal(number)

    def hang_up(self) -> int:
        """Take the terminal away, without any signal; the program's exit status."""
        os.close(self._fd)
        self._fd = os.open(os.devnull, os.O_RDONLY)
        return self._process.wait()

    def is_stopped(self) -> bool:
        """Whether the program is stopped, as by Ctrl-Z."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def until_stopped(self) -> None:
        """Wait for the stop of Ctrl-Z."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.is_stopped():
            assert time.monotonic() < deadline, "never stopped"
            while select.select([self._fd], [], [], 0.01)[0]:
                self._read()

    def resize(self, columns: int, rows: int, cell: tuple[int, int] = (0, 0)) -> None:
        """Another size, and pixels of a cell where the terminal says them."""
        pixels = columns * cell[0], rows * cell[1]
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, *pixels))
        self.screen.resize(rows, columns)
        self.signal(signal.SIGWINCH)

    def _read(self) -> bool:
        """Take what has come; False at the end of the program."""
        if not select.select([self._fd], [], [], PATIENCE_S)[0]:
            raise AssertionError(f"silent for {PATIENCE_S} s:\n{self.text}")
        try:
            data = os.read(self._fd, 65536)
        except OSError:
            return False
        self.data += data
        for question, answer in ANSWERS:
            if question in data:
                os.write(self._fd, answer)
        seen, self._held = UNREAD.sub(b"", self._held + data), b""
        if (start := HALF.search(seen)) is not None:
            seen, self._held = seen[: start.start()], seen[start.start() :]
        self._stream.feed(seen)
        return bool(data)

    def until(self, seen: str | Callable[[str], bool]) -> str:
        """Read until the screen holds the text, or satisfies the function."""
        test = seen if callable(seen) else lambda text: seen in text
        while not test(self.text):
            assert self._read(), f"ended before {seen!r}:\n{self.text}"
        return self.text

    def finish(self) -> int:
        """Read to the end of the program; its exit status."""
        while self._read():
            pass
        return self._process.wait()


def colours_of(data: bytes) -> set[str]:
    """Kinds of colour that the bytes set: `16`, `256`, `truecolor`."""
    found: set[str] = set()
    for match in re.finditer(rb"\x1b\[([0-9;]*)m", data):
        numbers = iter(match[1].decode().split(";"))
        for number in numbers:
            if number in {"38", "48"}:
                is_true = next(numbers) == "2"
                found.add("truecolor" if is_true else "256")
                for _ in range(3 if is_true else 1):
                    next(numbers)
            elif (
                number
                and (30 <= int(number) <= 47 or 90 <= int(number) <= 107)
                and (number not in {"39", "49"})
            ):
                found.add("16")
    return found


def book_option(book: Path) -> tuple[str, str]:
    """The arguments that name a book."""
    return ("--book", str(book))
