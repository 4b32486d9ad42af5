"""Checkpoints: saving the run's own, and registering those that other code writes.

Invariants: a checkpoint's name never shows half a file; its sidecar is written after it and says
what is in it (size, digest); saving a step anew removes the sidecar first, so that none ever
describes other bytes. `save` raises what `torch.save` raises: it holds the user's data.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labbook.client.external import Registrar
from labbook.client.recorder import Recorder
from labbook.client.writing import write_json
from labbook.errors import MisuseError
from labbook.paths import FORMAT, RunPaths, component

__all__ = ["Registrar", "Written", "save", "sidecar_of", "write_atomically"]

_RESERVED: Final = (".json", ".tmp")


@dataclass(frozen=True)
class Written:
    """What lies in a file that was just written."""

    size: int
    digest: str
    """`sha256:` and 64 hex digits."""


def save(
    paths: RunPaths, writer: Recorder, obj: Any, *, step: int | None, name: str | None = None
) -> Path:
    """Save `obj` as `checkpoints/step-<step>.pt`, or under `name`, and register it.

    The file is complete and on the disk when this returns. A step saved anew replaces the file, and
    the event says so. Without step and name the file is `save-1.pt`, `save-2.pt`, …

    Raises whatever `torch.save` raises, `OSError` when the file cannot be written, and
    `MisuseError` for a name that is no file name. A failed save leaves what was there before.
    """
    path = paths.checkpoints / _file_name(paths, step, name)
    paths.checkpoints.mkdir(parents=True, exist_ok=True)
    sidecar = sidecar_of(path)
    replaces = path.exists()
    written = write_atomically(path, obj, before_replace=lambda: sidecar.unlink(missing_ok=True))
    file = f"{paths.checkpoints.name}/{path.name}"
    facts = {"file": file, "size": written.size, "digest": written.digest, "external": False}
    body = {"format": FORMAT, **facts, "step": step, "time_ns": time.time_ns(), "kind": "torch"}
    try:
        write_json(sidecar, body)
    except OSError as error:
        writer.fault("sidecar", f"{path} is saved, but not registered: {error}")
    text = f"{'replaced' if replaces else 'saved'} {file}"
    writer.event("checkpoint", text, step, replaced=replaces, **facts)
    return path


def sidecar_of(path: Path) -> Path:
    """Where the facts about a checkpoint of the run's own stand."""
    return path.with_name(f"{path.name}.json")


def _file_name(paths: RunPaths, step: int | None, name: str | None) -> str:
    if name is None:
        if step is not None:
            return f"step-{step}.pt"
        free = 1
        while (paths.checkpoints / f"save-{free}.pt").exists():
            free += 1
        return f"save-{free}.pt"
    component(name, "checkpoint")
    if name.endswith(_RESERVED):
        raise MisuseError(f"checkpoint {name!r}: names that end in .json or .tmp are labbook's own")
    return name if "." in name else f"{name}.pt"


def write_atomically(path: Path, obj: Any, before_replace: Any = None) -> Written:
    """`torch.save` to a sibling, flush it to the disk, digest it, and move it to `path`.

    `before_replace` is called when all is written, just before the move.
    """
    import torch

    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "x+b") as file:
            torch.save(obj, file)
            file.flush()
            written = _digest_and_sync(file.fileno())
        if before_replace is not None:
            before_replace()
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return written


def _digest_and_sync(fd: int) -> Written:
    """Digest the page cache while the disk takes it: the one costs as long as the other."""
    failed: list[OSError] = []

    def sync() -> None:
        try:
            os.fsync(fd)
        except OSError as error:
            failed.append(error)

    syncing = threading.Thread(target=sync, name="labbook-fsync", daemon=True)
    syncing.start()
    digest, size = hashlib.sha256(), 0
    while chunk := os.pread(fd, 1 << 20, size):
        digest.update(chunk)
        size += len(chunk)
    syncing.join()
    if failed:
        raise failed[0]
    return Written(size, f"sha256:{digest.hexdigest()}")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError:
        pass  # some network filesystems refuse; the file itself is safe
    finally:
        os.close(fd)
