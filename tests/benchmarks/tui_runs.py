"""The terminal program on a book of 10,000 runs while eight of them log: frames, keys, memory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.ground import ROOT, book_of, environment, fresh
from tests.benchmarks.report import Figure

LIVE = """
import sys, time
import labbook
run = labbook.start({"lr": 0.1}, book=sys.argv[1], name="live", output=False)
print("ready", flush=True)
step = 0
while True:
    step += 1
    run.log({"metric0": 1 / step}, step=step)
    time.sleep(0.02)
"""
CATALOGUE = (
    "import json, sys, labbook; print(json.dumps(len(labbook.open(sys.argv[1]).summaries())))"
)
KEYS = (
    "g",  # first: at the end of the table j would paint nothing
    "j",
    "j",
    "k",
    "G",
    "g",
    "s",
    "S",
    " ",
    "\x04",
    "/",
    "r",
    "u",
    "n",
    "-",
    "7",
    "\x1b",
    "v",
    "v",
)
STILL_S = 0.15
"""A key is pressed after so long without output: what it paints is then its own."""


class Screen:
    """The program in a terminal of its own."""

    def __init__(self, book: Path) -> None:
        self.began = time.monotonic()
        self.text = b""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            env = environment(TERM="xterm-256color", COLORTERM="truecolor")
            env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tui"), env["PYTHONPATH"]])
            words = [sys.executable, "-m", "labbook.cli", "tui", "--book", str(book)]
            os.execvpe(words[0], words, env)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def read(self, timeout_s: float) -> bool:
        """Take what comes within the time; whether anything came."""
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return False
        self.text += os.read(self._fd, 65536)
        return True

    def until(self, words: bytes, timeout_s: float = 300.0) -> float:
        """Seconds since the start at which the words were on screen."""
        while words not in self.text:
            self.read(1.0)
            if time.monotonic() - self.began > timeout_s:
                raise RuntimeError(f"never painted: {words!r}")
        return time.monotonic() - self.began

    def press(self, key: str) -> float | None:
        """Seconds from a key to the first paint after it; None when it painted nothing."""
        until = time.monotonic() + 2.0
        while self.read(STILL_S) and time.monotonic() < until:
            pass
        began = time.monotonic()
        os.write(self._fd, key.encode())
        return time.monotonic() - began if self.read(2.0) else None

    def memory_mb(self) -> float:
        """The most it ever held, in MB of 10^6 bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6

    def close(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        with contextlib.suppress(OSError):
            while self.read(5.0):
                pass
        os.waitpid(self.pid, 0)
        os.close(self._fd)


@contextlib.contextmanager
def logging_runs(book: Path, count: int) -> Iterator[None]:
    """So many trainings that log fifty times a second."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", LIVE, str(book)],
            cwd=book.parent,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(count)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    runs, live, rounds = (20, 1, 1) if quick else (10_000, 8, 8)
    book = book_of(folder / str(runs), runs)
    time.sleep(2.1)  # the catalogue trusts no time younger than two seconds
    unknown = None if quick else _first_opening(book, runs)
    fresh(CATALOGUE, str(book), cwd=folder)
    with logging_runs(book, live):
        screen = Screen(book)
        try:
            first = screen.until(b"labbook")
            rows = screen.until(b"live")
            waited = time.monotonic() + (0 if quick else 10)
            while time.monotonic() < waited:
                screen.read(0.5)
            taken = [screen.press(key) for _ in range(rounds) for key in KEYS]
            known = sorted(1e3 * seconds for seconds in taken if seconds is not None)
            memory = screen.memory_mb()
        finally:
            screen.close()
    p95 = known[int(len(known) * 0.95)]
    of = f"{runs:,} runs"
    opening = [] if unknown is None else [
        Figure(f"first rows on screen, {of}, no catalogue", unknown[0], "s"),
        Figure(f"all of them read and the catalogue written, {of}", unknown[1], "s"),
    ]  # fmt: skip
    return [
        *opening,
        _judged(f"first frame of labbook tui, {of}", first, "s", 1.0, quick),
        Figure(f"rows on screen, {of}", rows, "s", note="the first frame with runs"),
        Figure("key to paint, p50", known[len(known) // 2], "ms", note=f"{live} live runs"),
        _judged("key to paint, p95", p95, "ms", 50.0, quick),
        _judged("memory at its peak", memory, "MB", 250.0, quick),
    ]


def _first_opening(book: Path, runs: int) -> tuple[float, float]:
    """Seconds until the first rows of a book without a catalogue, and until it has a whole one."""
    import pyarrow.parquet as pq

    screen = Screen(book)
    try:
        rows = screen.until(b"run-")
        while time.monotonic() - screen.began < 300:
            screen.read(0.2)
            with contextlib.suppress(OSError):
                if pq.read_metadata(book / "catalog.parquet").num_rows == runs:
                    return rows, time.monotonic() - screen.began
        raise RuntimeError("the catalogue was never whole")
    finally:
        screen.close()


def _judged(name: str, value: float, unit: str, limit: float, quick: bool) -> Figure:
    if quick:
        return Figure(name, value, unit)
    return Figure(name, value, unit, goal=f"< {limit:g} {unit}", met=value < limit)
