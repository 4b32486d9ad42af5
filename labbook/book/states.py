"""The state of a run, derived from evidence at the moment of reading; never stored as truth.

Evidence, strongest first: `end.json`; the C-level trace of SIGTERM; on the writer's own host, boot
and pid namespace its process and its lock. Anywhere else nobody can know: `unknown`, with the age
of the last sign of life. Standard library only.
"""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from labbook.book.facts import Process, as_int, as_text, entries
from labbook.journal.lock import Presence, probe
from labbook.paths import RunPaths

__all__ = [
    "STATES",
    "State",
    "derive",
    "heartbeat_ns",
    "is_alive",
    "is_own_host",
    "is_own_namespace",
    "whereabouts",
    "whereabouts_of",
]

STATES: Final = (
    "running",
    "finished",
    "failed",
    "interrupted",
    "terminated",
    "killed",
    "unknown",
)
FRESH_NS: Final = 60_000_000_000
"""A live writer touches its journal every second; after a minute its silence means something."""


@dataclass(frozen=True)
class State:
    """What became of a run, and the evidence in words."""

    name: str
    why: str
    ended_ns: int | None = None
    exit_code: int | None = None
    exception: dict[str, Any] | None = None
    """type, message and traceback of the exception that ended it."""
    seen_ns: int | None = None
    """The last sign of life."""


def derive(paths: RunPaths, process: Process | None) -> State:
    """Derive the state of the run whose newest rank 0 is `process`."""
    if process is None:
        return State("unknown", "it has no conditions: it was never started completely")
    if process.end is not None:
        return _ended(process.end, process.exit_status)
    seen_ns = heartbeat_ns(paths) or process.started_ns or None
    conditions = process.conditions
    is_own = is_own_namespace(conditions)
    alive = is_alive(conditions, process.started_ns) if is_own else None
    if process.exit_status is not None:
        return _exited(process.exit_status, seen_ns)
    if process.terminated and not alive:  # alive: it caught SIGTERM and goes on
        return State("terminated", "SIGTERM, and no end was recorded", seen_ns=seen_ns)
    if not is_own:
        return State("unknown", _elsewhere(conditions, seen_ns), seen_ns=seen_ns)
    presence = probe(paths.lock(process.writer))
    name, why = _here(conditions, alive, presence, seen_ns)
    return State(name, why, seen_ns=seen_ns)


def _here(
    conditions: dict[str, Any], alive: bool | None, presence: Presence, seen_ns: int | None
) -> tuple[str, str]:
    """Judge a process without an end, on its own host, boot and pid namespace."""
    pid = conditions.get("pid")
    if alive is False:  # a held lock is then the sealer's
        return "killed", f"process {pid} is gone and no end was recorded"
    if presence == "held":
        return "running", f"process {pid} holds the lock"
    if alive is None:
        if presence == "free":
            return "killed", "the lock is free and no end was recorded"
        return "unknown", f"its lock cannot be asked; {_seen(seen_ns)}"
    if seen_ns is not None and time.time_ns() - seen_ns < FRESH_NS:
        return "running", f"process {pid} lives and writes"  # something dropped its lock
    return "unknown", f"process {pid} lives without the run's lock; {_seen(seen_ns)}"


def _ended(end: dict[str, Any], status: int | None) -> State:
    name = as_text(end.get("state"))
    ended_ns = as_int(end.get("ended_ns"))
    code = as_int(end.get("exit_code"))
    if code is None:
        code = status
    exception = end.get("exception")
    exception = exception if isinstance(exception, dict) else None
    if name not in {"finished", "failed", "interrupted", "terminated"}:
        return State("unknown", f"its end says {name!r}", ended_ns, code, exception, ended_ns)
    if name == "finished" and code:  # Python itself is not told of a plain SystemExit
        name = "failed"
    if exception is not None:
        why = f"{exception.get('type')}: {exception.get('message')}"
    else:
        why = f"exit code {code}" if code else "its end was recorded"
    return State(name, why, ended_ns, code, exception, ended_ns)


def _exited(status: int, seen_ns: int | None) -> State:
    """It left an exit status, and could not write its end."""
    name = "failed" if status else "finished"
    return State(name, f"exit code {status}; no end was recorded", seen_ns, status, None, seen_ns)


def _elsewhere(conditions: dict[str, Any], seen_ns: int | None) -> str:
    host = conditions.get("host")
    if is_own_host(conditions):
        where = f"it ran in another pid namespace of {host}"
    else:
        where = f"{host} is another host or was booted anew"
    return f"no end was recorded, and {where}; {_seen(seen_ns)}"


def _seen(seen_ns: int | None) -> str:
    if seen_ns is None:
        return "no sign of life"
    when = datetime.fromtimestamp(seen_ns / 1e9, UTC)
    return f"last sign of life {when:%Y-%m-%d %H:%M:%S} UTC"


def heartbeat_ns(paths: RunPaths) -> int | None:
    """Newest modification time in the journal, in nanoseconds; None when it is empty."""
    times = [
        entry.stat(follow_symlinks=False).st_mtime_ns
        for entry in entries(paths.journal)
        if entry.name.endswith(".lbj")
    ]
    return max(times, default=None)


# ---------------------------------------------------------------------- this machine


@cache
def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _number(text: object) -> str | None:
    """The inode in 'pid:[4026531836]', however it was written down."""
    match = re.search(r"[0-9]+", str(text))
    return match[0] if match else None


def _pid_namespace() -> str | None:
    try:
        return _number(os.readlink("/proc/self/ns/pid"))
    except OSError:
        return None


def is_own_host(conditions: dict[str, Any]) -> bool:
    """Whether a process with these conditions ran on this host, since its last boot."""
    boot_id = conditions.get("boot_id")
    return (
        conditions.get("host") == socket.gethostname()
        and boot_id is not None
        and boot_id == _boot_id()
    )


def is_own_namespace(conditions: dict[str, Any]) -> bool:
    """Whether its pid means here what it meant there."""
    namespace = _pid_namespace()
    return (
        is_own_host(conditions)
        and namespace is not None
        and _number(conditions.get("pid_namespace")) == namespace
    )


def whereabouts_of(conditions: dict[str, Any]) -> str:
    """Host, boot and pid namespace of a process, as one text."""
    namespace = _number(conditions.get("pid_namespace"))
    return f"{conditions.get('host')} {conditions.get('boot_id')} {namespace}"


@cache
def whereabouts() -> str:
    """Those of this process."""
    return f"{socket.gethostname()} {_boot_id()} {_pid_namespace()}"


@cache
def _booted_ns() -> int | None:
    try:
        text = Path("/proc/stat").read_text()
    except OSError:
        return None
    match = re.search(r"^btime (\d+)$", text, re.MULTILINE)
    return int(match[1]) * 1_000_000_000 if match else None


def is_alive(conditions: dict[str, Any], started_ns: int) -> bool | None:
    """Whether the process with these conditions, there at `started_ns`, still lives; None when
    unknowable. Of this boot and namespace only.

    A process that began at another time has only the number in common; a zombie is dead. Where the
    ticks at which it began are not on record the wall clock decides, which may have been set since.
    """
    pid, ticks = as_int(conditions.get("pid")), as_int(conditions.get("pid_started"))
    booted_ns = _booted_ns()
    if pid is None or (ticks is None and booted_ns is None):
        return None
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # from field 3, the state, on: see proc(5)
    if fields[0] in "ZX":
        return False
    if ticks is not None or booted_ns is None:
        return int(fields[19]) == ticks
    began_ns = booted_ns + int(fields[19]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return began_ns <= started_ns + 2_000_000_000
