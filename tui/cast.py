"""Record a short tour of the recorded book, as asciinema plays it: `python tui/cast.py`.

Writes tui/pictures/tour.cast (asciicast v2, https://docs.asciinema.org/manual/asciicast/v2/): what
`labbook tui --demo` sends to a real terminal, with times. Play it with `asciinema play FILE`.
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

OUT = Path(__file__).parent / "pictures" / "tour.cast"
SIZE = (80, 24)
TOUR = (
    *[(2.0, "j"), (0.4, "j"), (0.4, "j"), (1.2, "\r"), (2.5, "3"), (2.0, "j"), (0.7, "j")],
    *[(0.7, "j"), (1.5, "4"), (2.5, "\r"), (2.5, "\x1b"), (1.0, "1"), (1.0, " "), (0.4, "j")],
    *[
        (0.4, "j"),
        (0.4, " "),
        (1.5, "9"),
        (2.0, "n"),
        (1.5, "l"),
        (2.0, "v"),
        (2.5, "v"),
        (3.0, ""),
    ],
)
"""(seconds to wait, what is then typed)."""
ANSWERS = (
    (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
    (b"\x1b[c", b"\x1b[?62;22c"),
    (b"\x1b[6n", b"\x1b[1;1R"),
)
"""What an xterm answers to the program's questions."""


def main() -> None:
    """Play the tour, write it down."""
    columns, rows = SIZE
    about = {"version": 2, "width": columns, "height": rows, "title": "labbook tui --demo"}
    decode = codecs.getincrementaldecoder("utf-8")().decode
    lines = [json.dumps(about)]
    lines += [
        json.dumps([round(at, 2), "o", text], ensure_ascii=False, separators=(",", ":"))
        for at, text in ((at, decode(data)) for at, data in _sent())
        if text
    ]
    OUT.write_text("\n".join(lines) + "\n")
    print(f"{OUT}: {OUT.stat().st_size / 1e3:.0f} kB")


def _sent() -> Iterator[tuple[float, bytes]]:
    """(seconds since the first of it, bytes) that the program sent while the tour was typed."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    colours = {"TERM": "xterm-256color", "COLORTERM": ""}  # 256: a third smaller
    command = [sys.executable, "-m", "labbook.cli", "tui", "--demo"]
    with subprocess.Popen(
        command, stdin=there, stdout=there, stderr=there, env=os.environ | colours
    ) as program:
        try:
            first = None
            for pause, keys in TOUR:
                until = time.monotonic() + pause
                while (left := until - time.monotonic()) > 0:
                    if not select.select([here], [], [], left)[0]:
                        continue
                    data = os.read(here, 65536)
                    _answer(here, data)
                    first = first or time.monotonic()
                    yield time.monotonic() - first, data
                os.write(here, keys.encode())
        finally:
            program.terminate()


def _answer(terminal: int, data: bytes) -> None:
    for question, answer in ANSWERS:
        if question in data:
            os.write(terminal, answer)


if __name__ == "__main__":
    main()
