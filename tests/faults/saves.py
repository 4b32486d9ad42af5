"""Saves that are killed at a random moment, over every format and over an earlier save.

A verdict is wrong when a checkpoint is called whole and its weights are not exactly those of one
save; a checkpoint is lost when its save returned and it is not called whole. Both must be 0.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch

from labbook.watch.complete import QUIET_S, Verdict, Whole, examine, is_folder_format
from labbook.watch.load import read_state, verify_checksums
from tests.faults.formats import FORMATS, Format, State, state_of, warm_up

__all__ = ["Tally", "interrupt"]


@dataclass
class Tally:
    """What came of the saves of one format."""

    saves: int = 0
    interrupted: int = 0
    whole: int = 0
    wrong: int = 0
    lost: int = 0
    texts: Counter[str] = field(default_factory=Counter)


def interrupt(folder: Path, count: int, seed: int = 0) -> dict[str, Tally]:
    """Begin `count` saves of all formats together, and kill most of them."""
    torch.set_num_threads(1)
    warm_up()
    draw = random.Random(seed)
    usual = {name: _seconds(folder / "usual", form) for name, form in FORMATS.items()}
    tallies = {name: Tally() for name in FORMATS}
    names = list(FORMATS)
    for number in range(count):
        name = names[number % len(names)]
        place = folder / str(number)
        place.mkdir()
        _one(place, FORMATS[name], tallies[name], draw, usual[name])
        shutil.rmtree(place)
    return tallies


def _seconds(folder: Path, form: Format) -> float:
    folder.mkdir()
    times = []
    for seed in range(5):
        times.append(_in_child(folder / form.name, form, state_of(seed), None) or 0.0)
    shutil.rmtree(folder)
    return statistics.median(times)


def _one(place: Path, form: Format, tally: Tally, draw: random.Random, usual: float) -> None:
    path = place / form.name
    states = [state_of(draw.randrange(2**30)) for _ in range(2)]
    possible = states[1:]
    is_over_another = draw.random() < 0.5
    if is_over_another and _in_child(path, form, states[0], None) is not None:
        possible = states
    seconds = _in_child(path, form, states[1], draw.uniform(0.0, 1.5 * usual))
    returned = seconds is not None
    tally.saves += 1
    tally.interrupted += not returned
    for quiet_s in (0.0, QUIET_S + 1):
        verdict = _look(path, quiet_s)
        if isinstance(verdict, Whole):
            loaded = _load(path, verdict)
            if not any(_same(loaded, state) for state in possible):
                tally.wrong += 1
                tally.texts[f"called whole at +{quiet_s:.0f} s, and is no save's"] += 1
    is_whole = isinstance(verdict, Whole)
    tally.whole += is_whole
    if returned and not (is_whole and _same(_load(path, verdict), states[1])):
        tally.lost += 1
        tally.texts[f"returned, and is not whole: {getattr(verdict, 'text', 'gone')}"] += 1


def _look(path: Path, quiet_s: float) -> Verdict | None:
    """What the watcher says of it; None for what it would not take for a checkpoint."""
    if path.is_dir() and not is_folder_format(path):
        return None
    try:
        return examine(path, None, time.time_ns() + int(quiet_s * 1e9), lambda: None)
    except FileNotFoundError:
        return None


def _load(path: Path, verdict: Whole) -> State:
    if verdict.digest.startswith("zip:"):
        verify_checksums(path)
    return read_state(path, verdict.kind, "model")


def _same(found: State, state: State) -> bool:
    return found.keys() == state.keys() and all(torch.equal(found[k], state[k]) for k in state)


def _in_child(path: Path, form: Format, state: State, after_s: float | None) -> float | None:
    """Save in a forked child, killed `after_s` seconds after it began.

    The seconds the save took; None when it did not return.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(path, form, state, theirs)
    os.close(theirs)
    os.read(ours, 1)
    began = time.perf_counter()
    if after_s is not None:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
    returned = os.read(ours, 1) == b"r"
    seconds = time.perf_counter() - began
    os.waitpid(pid, 0)
    os.close(ours)
    return seconds if returned else None


def _child(path: Path, form: Format, state: State, pipe: int) -> None:
    try:
        os.write(pipe, b"b")
        form.write(path, state)
        os.write(pipe, b"r")
    except OSError as error:
        if "no space" not in str(error):
            print(error, file=sys.stderr)
    finally:
        os._exit(0)
