"""What the git hooks add to a commit and a checkout, beside a book of many runs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.ground import book_of, environment, fresh, repository
from tests.benchmarks.report import Figure

LIVE = """
import sys, labbook
run = labbook.start({}, output=False)
run.log(loss=1.0)
print("ready", flush=True)
sys.stdin.read()
run.finish()
"""
ONCE = """
import labbook
labbook.start({}, gauges=False, output=False).finish()
print(1)
"""
COMMIT = ("commit", "-q", "--allow-empty", "-m", "x")


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    top, runs, times = repository(folder / "r", 50), 20 if quick else 1000, 3 if quick else 15
    book = str(book_of(folder / "many", runs))
    words = [sys.executable, "-m", "labbook.cli", "hooks", "install", "--with", "all"]
    env = environment(LABBOOK_DIR=book)
    subprocess.run(words, cwd=top, env=env, check=True, stdout=subprocess.DEVNULL)
    found = [_figure("a commit, no run live", *_both(top, book, times, COMMIT))]
    found.append(_figure("a commit of what ran", *_of_what_ran(top, book, 2 if quick else 7)))
    with _live(top, book):
        (top / "package0/module0.py").write_text("other code than the live run's\n")
        found.append(_figure("a commit, a run live", *_both(top, book, times, (*COMMIT, "-a"))))
        back = ("checkout", "-q", "HEAD^", "--", "package0/module0.py")
        found.append(_figure("a checkout, a run live", *_both(top, book, times, back)))
    _wait_for_what_nobody_waits_for(book)
    return found


def _wait_for_what_nobody_waits_for(book: str) -> None:
    """Until the processes that the hooks left behind have ended."""
    while any(book.encode() in _command(place) for place in Path("/proc").glob("[0-9]*")):
        time.sleep(0.1)


def _command(place: Path) -> bytes:
    try:
        return (place / "cmdline").read_bytes()
    except OSError:
        return b""  # it has just ended


def _figure(what: str, plain: float, hooked: float) -> Figure:
    more = (hooked - plain) * 1e3
    goal, note = "< 100 ms more", f"{more:.0f} ms more"
    return Figure(what, hooked * 1e3, "ms", plain * 1e3, "no hooks", goal, more < 100, note)


def _both(top: Path, book: str, times: int, words: tuple[str, ...]) -> tuple[float, float]:
    """The least seconds without hooks and with them, in turns."""
    plain, hooked = [], []
    for _ in range(times):
        plain.append(_git(top, book, "-c", f"core.hooksPath={os.devnull}", *words))
        hooked.append(_git(top, book, *words))
    return min(plain), min(hooked)


def _of_what_ran(top: Path, book: str, times: int) -> tuple[float, float]:
    plain, hooked = [], []
    for n in range(times):
        for hooks, taken in (((), hooked), (("-c", f"core.hooksPath={os.devnull}"), plain)):
            (top / "package0/module1.py").write_text(f"{n} {hooks}\n")
            fresh(ONCE, cwd=top, LABBOOK_DIR=book)
            taken.append(_git(top, book, *hooks, *COMMIT, "-a"))
    return min(plain), min(hooked)


def _git(top: Path, book: str, *words: str) -> float:
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org", *words]
    began = time.perf_counter()
    subprocess.run(
        git, cwd=top, env=environment(LABBOOK_DIR=book), check=True, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - began


@contextlib.contextmanager
def _live(top: Path, book: str) -> Iterator[None]:
    (top / "train.py").write_text(LIVE)
    with subprocess.Popen(
        [sys.executable, "train.py"], cwd=top, env=environment(LABBOOK_DIR=book),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as child:  # fmt: skip
        if child.stdout is None or child.stdout.readline() != b"ready\n":
            raise RuntimeError("the training did not start")
        yield
        child.communicate(b"")
