"""What each git hook adds to a commit, a checkout or a merge, beside a book of many runs."""

from __future__ import annotations

import contextlib
import resource
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
HOOKS = {
    "post-commit": (),
    "post-checkout": ("0" * 40, "1" * 40, "1"),
    "post-merge": ("0",),
    "pre-commit": (),
}
GOAL_MS = 100


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    top, runs, times = repository(folder / "r", 50), 20 if quick else 1000, 3 if quick else 15
    book = str(book_of(folder / "many", runs))
    words = [sys.executable, "-m", "labbook.cli", "hooks", "install", "--with", "all"]
    env = environment(LABBOOK_DIR=book)
    subprocess.run(words, cwd=top, env=env, check=True, stdout=subprocess.DEVNULL)
    found = [_figure(f"{hook}, no run live", top, book, hook, times) for hook in HOOKS]
    fresh(ONCE, cwd=top, LABBOOK_DIR=book)  # a run of exactly this commit
    found.append(_figure("post-commit of what ran", top, book, "post-commit", times))
    with _live(top, book):
        live = [hook for hook in HOOKS if hook != "post-commit"]
        found += [_figure(f"{hook}, a run live", top, book, hook, times) for hook in live]
    _wait_for_what_nobody_waits_for(book)
    return found


def _figure(what: str, top: Path, book: str, hook: str, times: int) -> Figure:
    """A hook as git runs it, in turns with a Python that does nothing: wall and processor time."""
    script = [str(top / ".git/hooks" / hook), *HOOKS[hook]]
    taken = [(_run(script, top, book), _run([sys.executable, "-c", ""], top, book))
             for _ in range(times)]  # fmt: skip
    wall, processor = (min(one[0][i] for one in taken) for i in (0, 1))
    python = min(one[1][0] for one in taken)
    note = f"{processor:.0f} ms of processor time"
    met = wall < GOAL_MS
    return Figure(what, wall, "ms", python, "python -c ''", f"< {GOAL_MS} ms", met, note)


def _run(words: list[str], top: Path, book: str) -> tuple[float, float]:
    """Milliseconds until it ends, and those of the processor; what it leaves behind is not in."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        words, cwd=top, env=environment(LABBOOK_DIR=book), check=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took * 1e3, used * 1e3


def _wait_for_what_nobody_waits_for(book: str) -> None:
    """Until the processes that the hooks left behind have ended."""
    while any(book.encode() in _command(place) for place in Path("/proc").glob("[0-9]*")):
        time.sleep(0.1)


def _command(place: Path) -> bytes:
    try:
        return (place / "cmdline").read_bytes()
    except OSError:
        return b""  # it has just ended


@contextlib.contextmanager
def _live(top: Path, book: str) -> Iterator[None]:
    (top / "train.py").write_text(LIVE)  # untracked: its code is not that of the commit
    with subprocess.Popen(
        [sys.executable, "train.py"], cwd=top, env=environment(LABBOOK_DIR=book),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as child:  # fmt: skip
        if child.stdout is None or child.stdout.readline() != b"ready\n":
            raise RuntimeError("the training did not start")
        yield
        child.communicate(b"")
