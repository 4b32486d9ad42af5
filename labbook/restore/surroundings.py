"""What a rerun runs in: the interpreter, its packages, the machine, the variables; and how that
differs from what the run had.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labbook.conditions.environment import allowed
from labbook.conditions.secrets import MASK
from labbook.errors import SnapshotError
from labbook.restore.command import map_path

__all__ = ["Difference", "Probe", "child_environment", "differences", "probe", "python_path"]

_PROBE = """\
import json, sys
from labbook.conditions import machine, packages
folder = sys.argv[1]
print(json.dumps({
    "path": sys.path,
    "editable": packages.editable(),
    "conditions": {
        "packages": packages.installed([folder, *sys.path] if folder else sys.path),
        "python": machine.python(), "machine": machine.describe(), "host": machine.host(),
    },
}))
"""
_PROBE_S = 120.0

_LAUNCHER = frozenset({
    # of the job or launcher of that time: the rerun is one process, and in no job
    "RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
    "MASTER_PORT", "SLURM_JOB_ID", "SLURM_JOBID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID",
    "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "PBS_JOBID", "LSB_JOBID", "JOB_ID",
})  # fmt: skip
_LEFT = frozenset({"VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "LD_PRELOAD", "PYTHONPATH"})
"""Belong to the interpreter that is used now; LD_PRELOAD would load what a book names."""
_DEVICES = frozenset({
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
})  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """One condition that is not as it was; null: not there."""

    kind: str
    name: str
    then: Any
    now: Any


@dataclass(frozen=True)
class Probe:
    """What an interpreter has: conditions as a run records them, `sys.path`, editable installs."""

    conditions: dict[str, Any]
    path: tuple[str, ...]
    editable: dict[str, str]


def probe(python: str, environ: Mapping[str, str], script_folder: Path | None) -> Probe:
    """Ask an interpreter; raises `SnapshotError` when it cannot be run or has no labbook."""
    # -P and an empty folder: nothing of the run's code is imported
    words = [python, "-P", "-c", _PROBE, "" if script_folder is None else str(script_folder)]
    try:
        done = subprocess.run(
            words, cwd="/", env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_PROBE_S, check=False,
        )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise SnapshotError(f"{python} cannot be asked: {error}. Name another: --python") from error
    if found is None:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no word of why"]
        raise SnapshotError(f"{python} cannot import labbook: {said[-1]}. Name another: --python")
    return Probe(found["conditions"], tuple(found["path"]), found["editable"])


def child_environment(
    conditions: Mapping[str, Any], present: Mapping[str, str]
) -> tuple[dict[str, str], list[Difference]]:
    """Return the variables for the rerun, and which could not be made as they were.

    Of those that runs record, the ones that change what is computed are as recorded, also where
    that is "not set"; devices only on the same host; none of labbook's own or of a launcher's.
    """
    recorded = conditions.get("environment")
    recorded = recorded if isinstance(recorded, dict) else {}
    then = {k: v for k, v in recorded.items() if isinstance(v, str) and allowed(k)}
    same_host = conditions.get("host") == os.uname().nodename
    environ = {k: v for k, v in present.items() if not _is_dropped(k)}
    environ.pop("PYTHONPATH", None)
    if "PYTHONPATH" in then:
        environ["PYTHONPATH"] = then["PYTHONPATH"]
    left: list[Difference] = []
    for name in sorted({*then, *(name for name in environ if allowed(name))}):
        if _is_dropped(name):
            continue
        before, now = then.get(name), environ.get(name)
        is_left = name in _LEFT or (name in _DEVICES and not same_host)
        if is_left or (before is not None and (MASK in before or "\0" in before)):
            if before is not None and MASK in before:
                now = None if now is None else "set"  # a secret is not told
            if before != now:
                left.append(Difference("environment", name, before, now))
        elif before is None:
            environ.pop(name, None)
        else:
            environ[name] = before
    return environ, left


def python_path(recorded: str, found: Probe, copies: Mapping[Path, Path]) -> str:
    """Return `PYTHONPATH` so that the code imported is the copies'.

    `copies` lead from the folders of the user's repositories to their restored copies. What was
    on the recorded path comes first, then what editable installs would import from elsewhere.
    """
    words = recorded.split(os.pathsep) if recorded else []
    folders = [_mapped(word, copies) or word for word in words]
    through = [word for word in found.path if word not in words]
    installed = [os.path.join(place, inner) for place in found.editable.values()
                 for inner in ("", "src")]  # fmt: skip
    for word in (*through, *installed):
        place = _mapped(os.path.normpath(word), copies) if os.path.isabs(word) else None
        if place is not None:
            folders.append(place)
    return os.pathsep.join(dict.fromkeys(folders))


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Return what differs: Python, packages, host, machine, GPUs and driver."""
    found = [*_fields("python", then, now, ("version", "implementation", "executable"))]
    found += _packages(_part(then, "packages"), _part(now, "packages"))
    if then.get("host") != now.get("host"):
        found.append(Difference("host", "host", then.get("host"), now.get("host")))
    found += _fields("machine", then, now, ("system", "architecture", "cpu", "cores_usable"))
    found += _fields("machine", then, now, ("driver", "cuda"))
    before, after = _gpus(then), _gpus(now)
    if before != after:
        found.append(Difference("gpu", "gpus", before, after))
    return found


def _is_dropped(name: str) -> bool:
    return name.startswith(("LABBOOK_", "TORCHELASTIC_")) or name in _LAUNCHER


def _mapped(word: str, copies: Mapping[Path, Path]) -> str | None:
    """The folder's restored copy; null when there is none, or it is but a link (environments)."""
    for top, copy in copies.items() if os.path.isabs(word) else ():
        place = map_path(word, top, copy)
        if place is not None and place.is_dir():
            return None if os.path.realpath(place) == os.path.realpath(word) else str(place)
    return None


def _fields(
    part: str, then: Mapping[str, Any], now: Mapping[str, Any], names: tuple[str, ...]
) -> Iterator[Difference]:
    before, after = _part(then, part), _part(now, part)
    for name in names:
        if before.get(name) != after.get(name):
            yield Difference(part, name, before.get(name), after.get(name))


def _packages(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted(then.keys() | now.keys()):
        if then.get(name) != now.get(name):
            yield Difference("package", name, then.get(name), now.get(name))


def _gpus(conditions: Mapping[str, Any]) -> list[str]:
    gpus = _part(conditions, "machine").get("gpus")
    items = gpus if isinstance(gpus, list) else []
    return [f"{gpu.get('name')} {gpu.get('uuid')}" for gpu in items if isinstance(gpu, dict)]


def _part(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, dict) else {}
