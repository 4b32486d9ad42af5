"""What a snapshot of the code costs in repositories of 1,000 and of 20,000 files.

The first of a book copies the commit, and is told apart. Slightly dirty: five files edited, twenty
new; with each snapshot one of them is edited again.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from labbook.conditions.snapshot import Limits, Snapshot, take
from tests.benchmarks.ground import repository
from tests.benchmarks.report import Figure

GOALS = {1000: 50, 20_000: 250}
BIG_MIB = 9


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    found = []
    for files, goal in GOALS.items():
        found += _of(folder / str(files), files // 20 if quick else files, goal, 3 if quick else 15)
    return found


def _of(folder: Path, files: int, goal: float, times: int) -> list[Figure]:
    top = repository(folder / "r", files)
    name = f"{files:,} files"
    first, _ = _take(top, folder, 60.0)  # however long it takes
    figures = [Figure(f"snapshot, {name}, the book's first", first, "ms")]
    _take(top, folder)
    status, clean = _in_turns(top, folder, times)
    figures.append(_figure(f"snapshot, {name}, clean", clean, status, goal))
    for n in range(25):
        place = top / (f"package0/module{n}.py" if n < 5 else f"package0/new{n}.py")
        place.write_text(f"VALUE = -{n}\n")
    _take(top, folder)
    status, dirty = _in_turns(top, folder, times, top / "package0/module0.py")
    figures.append(_figure(f"snapshot, {name}, slightly dirty", dirty, status, goal))
    (top / "weights.bin").write_bytes(bytes(range(256)) * (BIG_MIB * 4096))
    with_big, taken = _take(top, folder)
    again, second = _take(top, folder)
    what = f"files read again, {BIG_MIB} MiB of them untracked and unchanged"
    is_met = taken.n_hashed == 1 and second.n_hashed == 0
    note = f"{with_big:.0f} ms, then {again:.0f} ms"
    figures.append(Figure(what, second.n_hashed, "", goal="0", met=is_met, note=note))
    return figures


def _figure(what: str, ms: float, status: float, goal: float) -> Figure:
    return Figure(what, ms, "ms", status, "git status", f"≤ {goal:.0f} ms", ms <= goal)


def _in_turns(top: Path, folder: Path, times: int, edited: Path | None = None) -> tuple[float, ...]:
    """The least milliseconds of `git status` and of a snapshot, in turns."""
    status, snapshot = [], []
    for n in range(times):
        if edited is not None:
            edited.write_text(f"VALUE = {n}\n")
        began = time.perf_counter()
        git = ["git", "--no-optional-locks", "status", "--porcelain", "-uall"]
        subprocess.run(git, cwd=top, check=True, stdout=subprocess.DEVNULL)
        status.append((time.perf_counter() - began) * 1e3)
        snapshot.append(_take(top, folder)[0])
    return min(status), min(snapshot)


def _take(top: Path, folder: Path, seconds: float = 2.0) -> tuple[float, Snapshot]:
    began = time.perf_counter()
    taken = take(
        top, folder / "code.git", limits=Limits(seconds=seconds), private_cache=folder / "cache"
    )
    if taken.kind != "complete":
        raise RuntimeError(f"the snapshot is {taken.kind}: {taken.reason}")
    return (time.perf_counter() - began) * 1e3, taken
