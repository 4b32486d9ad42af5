"""What `run.log()` costs, of 1 and 10 scalars, back to back and after idling.

Floors in the same process, taking turns: pack, clock and `os.write` to a file opened for appending;
pack and clock into a memory map.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.ground import recording
from tests.benchmarks.report import Figure
from tests.benchmarks.timing import Call, Cost, cost_of

NAMES = tuple(f"metric{i}" for i in range(10))
FLOOR = "pack, clock, os.write"


def measure(folder: Path, *, quick: bool) -> list[Figure]:
    with recording(folder) as run:
        subjects = _subjects(run, folder)
        busy = cost_of(subjects, rounds=10 if quick else 150, calls=50 if quick else 200)
        idle = cost_of(
            {name: subjects[name] for name in ("log 1", "log 10", "write 1", "write 10")},
            rounds=2 if quick else 12,
            calls=5 if quick else 25,
            idle_s=0.005,
        )
    return _back_to_back(busy) + _after_idling(idle)


def _back_to_back(busy: dict[str, Cost]) -> list[Figure]:
    figures = []
    for n, limit_us in ((1, 1.5), (10, 2.0)):
        ours, floor = busy[f"log {n}"], busy[f"write {n}"]
        word = f"{n} scalar{'s' if n > 1 else ''}"
        figures += [
            _figure(f"log() of {word}, back to back, p50", ours.p50, floor.p50, limit_us, times=2),
            _figure(
                f"log() of {word}, least disturbed round, p50", ours.best, floor.best, limit_us
            ),
            _figure(f"log() of {word}, p99", ours.p99, floor.p99, 10.0),
            _figure(f"log() of {word}, mean", ours.mean, floor.mean),
        ]
    one, floor, in_map = busy["log 1"], busy["write 1"], busy["map 1"]
    figures += [
        Figure("log() of 1 scalar, p50", _us(one.p50), "µs", _us(in_map.p50), "pack into a map"),
        _figure("series handle, 1 scalar, p50", busy["handle"].p50, floor.p50),
        _figure("log() of 1 scalar from a mapping, p50", busy["mapping"].p50, floor.p50),
    ]
    if "tensor" in busy:
        figures.append(_figure("log() of a CPU tensor, p50", busy["tensor"].p50, busy["item"].p50))
    return figures


def _after_idling(idle: dict[str, Cost]) -> list[Figure]:
    one, ten = idle["log 1"], idle["log 10"]
    return [
        _figure(
            "log() of 1 scalar after 5 ms idle, p50", one.p50, idle["write 1"].p50, 6.0, times=2
        ),
        _figure("log() of 10 scalars after 5 ms idle, p50", ten.p50, idle["write 10"].p50),
    ]


def _figure(
    what: str, ns: float, floor_ns: float, limit_us: float | None = None, times: float | None = None
) -> Figure:
    met = None
    goal = ""
    if limit_us is not None:
        goal, met = f"≤ {limit_us:g} µs", ns <= limit_us * 1e3
    if times is not None:
        goal, met = f"{goal}, ≤ {times:g}×", bool(met) and ns <= times * floor_ns
    return Figure(what, _us(ns), "µs", _us(floor_ns), FLOOR, goal, met)


def _us(ns: float) -> float:
    return ns / 1e3


def _subjects(run: Any, folder: Path) -> dict[str, Call]:
    log, handle = run.log, run.series("handled")
    values = tuple(0.1 * i for i in range(10))

    def log_ten(i: int) -> None:
        log(
            metric0=0.1, metric1=0.2, metric2=0.3, metric3=0.4, metric4=0.5,
            metric5=0.6, metric6=0.7, metric7=0.8, metric8=0.9, metric9=1.0, step=i,
        )  # fmt: skip

    subjects: dict[str, Call] = {
        "log 1": lambda i: log(loss=0.5, step=i),
        "log 10": log_ten,
        "write 1": _writes(folder / "floor-1", (0.5,)),
        "write 10": _writes(folder / "floor-10", values),
        "map 1": _maps(folder / "map"),
        "handle": lambda i: handle(0.5, i),
        "mapping": lambda i: log({"loss": 0.5}, step=i),
    }
    try:
        import torch
    except ImportError:
        return subjects
    loss, write = torch.tensor(0.5), _writes(folder / "floor-item", None)
    subjects["tensor"] = lambda i: log(tensor=loss, step=i)
    subjects["item"] = lambda i: write(i, loss.item())  # type: ignore[call-arg]
    return subjects


def _writes(path: Path, values: tuple[float, ...] | None) -> Any:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    write, clock = os.write, time.time_ns
    pack = struct.Struct(f"<qq{len(values or (0,))}d").pack
    if values is None:
        return lambda i, value: write(fd, pack(i, clock(), value))
    if len(values) == 1:
        value = values[0]
        return lambda i: write(fd, pack(i, clock(), value))
    return lambda i: write(fd, pack(i, clock(), *values))


def _maps(path: Path) -> Call:
    size, record = 1 << 20, struct.Struct("<qqd")
    path.write_bytes(b"\0" * size)
    with open(path, "r+b") as file:
        room = mmap.mmap(file.fileno(), size)
    pack_into, clock, length, slots = record.pack_into, time.time_ns, record.size, size // 32

    def put(i: int) -> None:
        pack_into(room, (i % slots) * length, i, clock(), 0.5)

    return put
