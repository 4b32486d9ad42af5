"""Folders of other frameworks, taken for whole by the marker their writer leaves last.

Only the marker is looked at (and, for DeepSpeed, the rank files it vouches for): nothing here was
tried against the frameworks themselves, so what passes is called `marker`, not `structure`. None
of these formats is loaded by default; an evaluation of them has a `load` of its own.

- Orbax: `commit_success.txt`, or the rename of `NAME.orbax-checkpoint-tmp…` to `NAME`.
- DeepSpeed: the file `latest` beside the folder names it, or one that was begun later.
- Megatron-Core (dist): `metadata.json` beside `common.pt`.
- OLMo-core: `.metadata.json` after the folder was renamed, and `model_and_optim/.metadata`.
- Levanter: `metadata.json` with the step, of its commit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labbook.errors import DamagedFile
from labbook.watch import torch_zip
from labbook.watch.identity import Tick

__all__ = ["KINDS", "check", "kind_of"]

_ORBAX = ("_CHECKPOINT_METADATA", "commit_success.txt", "manifest.ocdbt")
_ORBAX_TEMPORARY = ".orbax-checkpoint-tmp"


def kind_of(folder: Path) -> str | None:
    """Which framework wrote the folder, by the names in it; None when none of these did."""
    try:
        names = set(os.listdir(folder))
    except OSError:
        return None
    if any(name.endswith("_model_states.pt") for name in names):
        return "deepspeed"
    if "model_and_optim" in names:
        return "olmo"
    if "common.pt" in names:
        return "megatron"
    if _ORBAX_TEMPORARY in folder.name or names.intersection(_ORBAX):
        return "orbax"
    if "model" in names and ("metadata.json" in names or "training_state" in names):
        return "levanter"
    return None


def check(folder: Path, kind: str, tick: Tick) -> None:
    """Raise `DamagedFile` unless the marker of `kind` is there, saying what is missing."""
    _CHECKS[kind](folder, tick)


def _orbax(folder: Path, _tick: Tick) -> None:
    if _ORBAX_TEMPORARY in folder.name:
        raise DamagedFile("Orbax has not renamed it yet: it is being written")
    if (folder / "commit_success.txt").is_file():
        return
    # where writers rename (local disks), the final name is the marker
    if not any((folder / name).is_file() for name in ("_CHECKPOINT_METADATA", "manifest.ocdbt")):
        raise DamagedFile("commit_success.txt, which Orbax writes last, is not there")


def _deepspeed(folder: Path, tick: Tick) -> None:
    latest = folder.parent / "latest"
    try:
        named = latest.read_text(errors="replace").strip()
        committed_ns = latest.stat().st_mtime_ns
    except FileNotFoundError:
        raise DamagedFile("the file 'latest' beside it, written last, is not there") from None
    files = sorted(folder.glob("*.pt"))
    # an older tag was committed when `latest` last came to name another
    if named != folder.name and any(file.stat().st_mtime_ns > committed_ns for file in files):
        raise DamagedFile(f"the file 'latest' beside it names {named!r}, which is older")
    for file in files:
        torch_zip.check(file, tick)


def _megatron(folder: Path, _tick: Tick) -> None:
    _json(folder / "metadata.json", "sharded_backend")


def _olmo(folder: Path, _tick: Tick) -> None:
    if folder.name.endswith("-tmp"):
        raise DamagedFile("OLMo-core has not renamed it yet: it is being written")
    _json(folder / ".metadata.json", None)
    if not (folder / "model_and_optim" / ".metadata").is_file():
        raise DamagedFile("model_and_optim/.metadata is not there")


def _levanter(folder: Path, _tick: Tick) -> None:
    _json(folder / "metadata.json", "step")


def _json(path: Path, field: str | None) -> Any:
    """The marker's content; raises `DamagedFile` when it is not there or not all of it."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DamagedFile(f"{path.name}, which is written last, is not there") from None
    except ValueError as error:
        raise DamagedFile(f"{path.name} does not parse: {error}") from error
    if field is not None and (not isinstance(found, dict) or field not in found):
        raise DamagedFile(f"{path.name} says nothing of {field!r}")
    return found


_CHECKS: dict[str, Callable[[Path, Tick], None]] = {
    "orbax": _orbax,
    "deepspeed": _deepspeed,
    "megatron": _megatron,
    "olmo": _olmo,
    "levanter": _levanter,
}
KINDS = frozenset(_CHECKS)
"""The kinds that `check` knows."""
