"""The machine a process runs on: host, kernel, processor, memory, GPUs.

Everything but the GPUs is read from /proc and `uname` in well under a millisecond; what a
platform does not tell is null.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from labbook.conditions import gpus

__all__ = ["boot_id", "describe", "host", "pid_namespace", "pid_started", "python"]


def host() -> str:
    """Return the name of this machine."""
    return os.uname().nodename


def boot_id() -> str | None:
    """Return what changes whenever the machine starts; a pid means nothing across it."""
    return _read("/proc/sys/kernel/random/boot_id", 64)


def pid_namespace() -> str | None:
    """Return the pid namespace (`pid:[4026531836]`); a pid means nothing outside it."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def pid_started() -> int | None:
    """Return when this process began, in clock ticks since boot, which no set clock changes."""
    text = _read("/proc/self/stat", 4096)
    # field 22, counted from behind the name, which may hold anything: see proc(5)
    return int(text.rpartition(")")[2].split()[19]) if text else None


def python() -> dict[str, Any]:
    """Return the interpreter: version, implementation, executable."""
    return {
        "version": sys.version.split()[0],
        "implementation": sys.implementation.name,
        "executable": sys.executable or None,
    }


def describe() -> dict[str, Any]:
    """Return the machine, with the GPUs that this process may use."""
    name = os.uname()
    return {
        "system": name.sysname,
        "kernel": name.release,
        "architecture": name.machine,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "cores_usable": _usable_cores(),
        "memory_bytes": _memory_bytes(),
        **gpus.describe(),
    }


def _usable_cores() -> int | None:
    """Cores the scheduler may give us: less than all under taskset, Slurm or a cpuset."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count()


def _cpu() -> str | None:
    # the kernel writes one block a core, and a few kilobytes hold the first: 0.1 ms, not 10 ms
    text = _read("/proc/cpuinfo", 4096) or ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu model"}:
            return value.strip()
    return None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _read(path: str, limit_bytes: int) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read(limit_bytes).decode("utf-8", "replace").strip()
    except OSError:
        return None
