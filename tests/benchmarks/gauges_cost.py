"""CPU time of the thread that samples the gauges, as a share of one core at one sample a second.

Alone; with 2,000 processes on the host that are not its own; with 20 children of its own; and what
psutil's walk over all processes would cost there. Of several samples the median, `thread_time`; of
the thread itself what the kernel counted, with its journal.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.report import Figure

GOAL = 0.5  # percent of one core

SPAWN = """
import subprocess, sys
started = [subprocess.Popen(["sleep", "600"]) for _ in range(int(sys.argv[1]))]
print(len(started), flush=True)
sys.stdin.read()
for process in started:
    process.kill()
for process in started:
    process.wait()
"""


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    samples, neighbours, children = (5, 20, 2) if quick else (200, 2000, 20)
    alone, parts = _a_sample(folder, samples)
    with _Processes(neighbours, own=False):
        crowded, _ = _a_sample(folder, samples)
        walk = _median(_walk_all, 1 if quick else 5)
        thread = _the_thread(folder, 1.0 if quick else 20.0)
    with _Processes(children, own=True):
        family, _ = _a_sample(folder, samples)
    figures = [
        _figure("a sample", alone),
        _figure(f"a sample, {neighbours:,} other processes", crowded, alone, "alone"),
        _figure(f"a sample, {children} children", family, alone, "alone"),
        _figure(f"the thread itself, {neighbours:,} other processes", thread),
        Figure(
            f"psutil over {neighbours:,} processes, instead of the tree's own",
            100 * walk,
            "% of a core",
            100 * crowded,
            "a sample",
        ),
    ]
    return figures + [_figure(f"of it {name}", seconds) for name, seconds in parts.items()]


def _figure(what: str, seconds: float, floor: float | None = None, against: str = "") -> Figure:
    """Seconds of CPU a second: what the thread spends of one core."""
    percent = 100 * seconds
    return Figure(
        what,
        percent,
        "% of a core",
        None if floor is None else 100 * floor,
        against,
        f"< {GOAL} %",
        percent < GOAL,
    )


def _a_sample(folder: Path, n: int) -> tuple[float, dict[str, float]]:
    """CPU seconds a second that all sources take, each at its own interval; and of each."""
    from labbook.client.gauges import Gauges

    gauges = Gauges(_Nowhere(), book=folder)
    sources = gauges._open()
    parts = {type(s).__name__: _median(s.read, n) / max(1.0, s.least_s) for s in sources}
    return sum(parts.values()), parts


def _the_thread(folder: Path, seconds: float) -> float:
    """CPU seconds a second of the real thread and its journal, by the kernel's count."""
    from labbook.client.gauges import Gauges
    from labbook.journal.writer import JournalWriter
    from labbook.paths import BookPaths

    paths = BookPaths(folder / "book").run("20260101-000000-abcdef")
    paths.journal.mkdir(parents=True, exist_ok=True)
    writer = JournalWriter(paths, "r0-aaaaaa")
    gauges = Gauges(writer, 1.0, book=folder)
    gauges.start()
    time.sleep(1.5)  # the first sample, which imports psutil
    thread = gauges._sampler.thread
    assert thread is not None
    schedule = Path(f"/proc/self/task/{thread.native_id}/schedstat")
    before = int(schedule.read_text().split()[0])
    time.sleep(seconds)
    spent = int(schedule.read_text().split()[0]) - before
    gauges.stop()
    writer.close()
    return spent / 1e9 / seconds


class _Nowhere:
    """A journal that keeps nothing."""

    def row(self, *given: Any) -> None:
        return

    event = array = fault = row


def _median(work: Callable[[], object], n: int) -> float:
    work()
    taken = []
    for _ in range(n):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return statistics.median(taken)


def _walk_all() -> None:
    import psutil

    psutil.Process(os.getpid()).children(recursive=True)


class _Processes:
    """So many sleeping processes, as children of ours or apart from us."""

    def __init__(self, n: int, *, own: bool) -> None:
        self._n, self._own = n, own

    def __enter__(self) -> None:
        if self._own:
            self._started = [subprocess.Popen(["sleep", "600"]) for _ in range(self._n)]
            return
        # the process between ends at once and leaves the spawner to init: it is not below us
        self._pipe_r, self._pipe_w = os.pipe()
        answer_r, answer_w = os.pipe()
        first = os.fork()
        if not first:
            if not os.fork():
                os.dup2(self._pipe_r, 0)
                os.dup2(answer_w, 1)
                os.closerange(3, 64)
                os.execv(sys.executable, [sys.executable, "-c", SPAWN, str(self._n)])
            os._exit(0)
        os.waitpid(first, 0)
        os.close(self._pipe_r)
        os.close(answer_w)
        assert os.read(answer_r, 64)
        os.close(answer_r)

    def __exit__(self, *_: object) -> None:
        if self._own:
            for process in self._started:
                process.kill()
                process.wait()
        else:
            os.close(self._pipe_w)
