"""Runs made with the real journal writer, for tests of reading and sealing."""

from __future__ import annotations

import json
import os
import socket
import time
from array import array
from pathlib import Path
from typing import Any

from labbook.book.runreader import RunReader
from labbook.journal.lock import WriterLock
from labbook.journal.writer import JournalWriter
from labbook.paths import BookPaths, RunPaths

WRITER = "r0-abcdef"


def here(**more: Any) -> dict[str, Any]:
    """Conditions of this very process."""
    return {
        "format": 1,
        "attempt": 1,
        "writer": WRITER,
        "rank": 0,
        "world_size": 1,
        "started_ns": time.time_ns(),
        "host": socket.gethostname(),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "pid_namespace": os.readlink("/proc/self/ns/pid"),
        "pid": os.getpid(),
        "arguments": {"values": {"lr": 0.1, "model": {"name": "cnn"}}, "source": None},
        "git": None,
        **more,
    }


class Run:
    """One run on disk, and its open journals."""

    def __init__(self, book: BookPaths, run_id: str, **identity: Any) -> None:
        self.paths: RunPaths = book.run(run_id)
        for folder in (self.paths.journal, self.paths.meta, self.paths.attempts):
            folder.mkdir(parents=True)
        about = {"format": 1, "id": run_id, "name": "small", "group": None, "tags": []}
        about |= {"parent": None, "created_ns": time.time_ns(), **identity}
        self.paths.run_json.write_text(json.dumps(about))

    def process(self, writer: str = WRITER, attempt: int = 1, **conditions: Any) -> Path:
        path = self.paths.conditions(attempt, writer)
        path.parent.mkdir(exist_ok=True)
        conditions = here(attempt=attempt, writer=writer) | conditions
        path.write_text(json.dumps(conditions))
        return path

    def journal(self, writer: str = WRITER, **options: Any) -> JournalWriter:
        return JournalWriter(self.paths, writer, **options)

    def lock(self, writer: str = WRITER) -> WriterLock:
        lock = WriterLock(self.paths.lock(writer))
        assert lock.acquire()
        return lock

    def end(self, writer: str = WRITER, attempt: int = 1, **end: Any) -> None:
        about = {"format": 1, "state": "finished", "ended_ns": time.time_ns(), "exit_code": None}
        about |= {"exception": None, "faults": {}, **end}
        self.paths.end(attempt, writer).write_text(json.dumps(about))

    def fact(self, kind: str, **fact: Any) -> None:
        about = {"fact": kind, "time_ns": time.time_ns(), **fact}
        (self.paths.meta / f"{kind}-{time.time_ns()}.json").write_text(json.dumps(about))
        os.utime(self.paths.root)

    def read(self) -> RunReader:
        return RunReader(self.paths)


def observe(journal: JournalWriter, step: int, losses: list[float], width: int = 3) -> None:
    """Record one observation of a chosen set."""
    n = len(losses)
    header = {
        "table": "chosen",
        "set": "chosen",
        "columns": [
            {"name": "loss", "dtype": "<f4", "shape": [n]},
            {"name": "output", "dtype": "<f4", "shape": [n, width]},
        ],
    }
    output = array("f", [step + value for value in losses for _ in range(width)])
    journal.array(header, [array("f", losses).tobytes(), output.tobytes()], step)


def choose(journal: JournalWriter, n: int = 4, seed: int = 0) -> None:
    """Record a chosen set's inputs."""
    header = {
        "table": "examples",
        "set": "chosen",
        "columns": [
            {"name": "index", "dtype": "<i8", "shape": [n]},
            {"name": "input", "dtype": "<f4", "shape": [n, 2, 2]},
        ],
        "seed": seed,
    }
    inputs = array("f", range(n * 4)).tobytes()
    journal.array(header, [array("q", range(n)).tobytes(), inputs], None)


def everything(reader: RunReader) -> dict[str, Any]:
    """All rows of a run, as plain Python, NaN as text so that it equals itself."""
    tables = {name: reader.series(name) for name in reader.names()}
    tables |= {"(gauges)": reader.gauges(), "(events)": reader.events()}
    if "chosen" in reader.chosen_sets():
        tables |= {"(chosen)": reader.chosen(), "(examples)": reader.examples()}
    plain: dict[str, Any] = {name: repr(table.to_pylist()) for name, table in tables.items()}
    return plain | {"(stats)": repr(reader.stats())}
