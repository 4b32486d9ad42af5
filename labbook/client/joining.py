"""Which run a process belongs to: a new one, one it resumes, or one whose ranks it joins.

Ranks join only on `LABBOOK_RUN_ID` or on a launcher's key with `WORLD_SIZE` > 1. `SLURM_PROCID`
alone never joins: four independent trainings under one `srun -n4` stay four runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from labbook.errors import AmbiguousRun, MisuseError, RunNotFound, StoreError
from labbook.journal import lock
from labbook.paths import BookPaths, RunPaths

__all__ = [
    "JOIN_S",
    "Place",
    "find_rank_zero",
    "job_id",
    "place",
    "resumed_run",
    "wait_for_rank_zero",
]

JOIN_S: Final = 30.0
"""So long a rank waits for rank 0 to make the run."""

_RECENT: Final = 200
_APART_NS: Final = 300 * 1_000_000_000
"""Ranks of one training start within minutes: an older run with the same key is another one."""
_JOB_VARIABLES: Final = (
    ("slurm", "SLURM_JOB_ID"),
    ("pbs", "PBS_JOBID"),
    ("lsf", "LSB_JOBID"),
    ("sge", "JOB_ID"),
)


class Place(NamedTuple):
    """A process among those of one training; `key` is None when it is alone."""

    rank: int
    world_size: int
    key: str | None


def place(environ: Mapping[str, str]) -> Place:
    """Read rank and launcher's key from the environment."""
    world = _number(environ, "WORLD_SIZE", 1)
    rank = _number(environ, "RANK", -1)
    given = environ.get("LABBOOK_RUN_ID")
    if given:
        if rank < 0:
            rank = _number(environ, "SLURM_PROCID", 0)
            world = max(world, _number(environ, "SLURM_NTASKS", 1))
        return Place(rank, world, _hash("labbook", given, environ))
    elastic = environ.get("TORCHELASTIC_RUN_ID")
    address, port = environ.get("MASTER_ADDR"), environ.get("MASTER_PORT")
    if world > 1 and rank >= 0 and (elastic or (address and port)):
        return Place(rank, world, _hash(f"{elastic} {address} {port} {world}", "", environ))
    return Place(0, 1, None)


def job_id(environ: Mapping[str, str]) -> str | None:
    """The scheduler's job, array task included, as `scheduler:id`."""
    for scheduler, variable in _JOB_VARIABLES:
        job = environ.get(variable)
        if job and scheduler == "slurm":
            array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
            return f"slurm:{array}_{task}" if array and task else f"slurm:{job}"
        if job and (scheduler != "sge" or environ.get("SGE_ROOT")):
            return f"{scheduler}:{job}"
    return None


def resumed_run(book: BookPaths, resume: str, environ: Mapping[str, str]) -> RunPaths | None:
    """Find the run to resume; None when `auto` finds none and a new run is to be made.

    Raises `RunNotFound` or `AmbiguousRun` for an id, and `StoreError` when the run still runs.
    """
    found = _auto(book, environ) if resume == "auto" else _by_prefix(book, resume)
    if found is not None:
        _refuse_live(found)
    return found


def find_rank_zero(book: BookPaths, key: str, since_ns: int) -> tuple[RunPaths, int] | None:
    """The run and attempt that a live rank 0 with this key has made since `since_ns`."""
    for run_id in book.run_ids()[:_RECENT]:
        run = book.run(run_id)
        for attempt, conditions in _rank_zeros(run):
            if conditions.get("join") != key or int(conditions.get("started_ns", 0)) < since_ns:
                continue
            writer = str(conditions.get("writer"))
            if run.end(attempt, writer).exists():
                continue
            here = conditions.get("host") == os.uname().nodename
            if here and lock.probe(run.lock(writer)) == "free":
                continue
            return run, attempt
    return None


def wait_for_rank_zero(
    book: BookPaths, key: str, timeout_s: float = JOIN_S
) -> tuple[RunPaths, int] | None:
    """Poll for the run that rank 0 makes; None when there is none in time."""
    since_ns = time.time_ns() - _APART_NS
    deadline = time.monotonic() + timeout_s
    while True:
        found = find_rank_zero(book, key, since_ns)
        if found is not None or time.monotonic() >= deadline:
            return found
        time.sleep(0.05)


def _auto(book: BookPaths, environ: Mapping[str, str]) -> RunPaths | None:
    given = environ.get("LABBOOK_RUN_ID")
    if given:
        run = book.run(given)
        return run if run.run_json.exists() else None
    job = job_id(environ)
    if job is None:
        return None
    for run_id in book.run_ids()[:_RECENT]:
        if _load(book.run(run_id).run_json).get("job") == job:
            return book.run(run_id)
    return None


def _by_prefix(book: BookPaths, prefix: str) -> RunPaths:
    found = [run_id for run_id in book.run_ids() if run_id.startswith(prefix)]
    if prefix in found:
        found = [prefix]
    if not found:
        raise RunNotFound(f"no run {prefix!r} to resume in {book.root}; `labbook ls` lists them")
    if len(found) > 1:
        raise AmbiguousRun(
            f"{prefix!r} could be any of {', '.join(found[:5])}: give more of the id"
        )
    return book.run(found[0])


def _refuse_live(run: RunPaths) -> None:
    newest = max((attempt for attempt, _ in _rank_zeros(run)), default=0)
    for attempt, conditions in _rank_zeros(run):
        writer = str(conditions.get("writer"))
        if attempt != newest or run.end(attempt, writer).exists():
            continue
        if lock.probe(run.lock(writer)) == "held":
            raise StoreError(
                f"run {run.id} is still being written by process {conditions.get('pid')} on "
                f"{conditions.get('host')}: end it before you resume it"
            )


def _rank_zeros(run: RunPaths) -> Iterator[tuple[int, dict[str, Any]]]:
    for folder in sorted(run.attempts.glob("[0-9]*")):
        for file in folder.glob("r0-*.json"):
            if not file.name.endswith(".end.json"):
                yield int(folder.name), _load(file)


def _load(path: os.PathLike[str]) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name)
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise MisuseError(f"{name}={text!r} in the environment must be a whole number") from None


def _hash(first: str, second: str, environ: Mapping[str, str]) -> str:
    # a restarted elastic group is a new attempt, not the old one joined again
    parts = (first, second, environ.get("TORCHELASTIC_RESTART_COUNT", ""), job_id(environ) or "")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
