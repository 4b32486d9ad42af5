"""Is a checkpoint whole? Asked of its format, never of its name or of the time alone.

`examine` answers with what was found (`Whole`, with the digest of its content) or why not
(`Unfinished`). Five formats are understood: `torch.save` files (Lightning's too), safetensors,
Hugging Face folders, and distributed checkpoints; a file that labbook saved is compared with its
sidecar as well. Folders of some other frameworks count as whole by the marker they write last
(`labbook.watch.markers`), and are marked `marker`. Anything else counts as whole once nothing in it
has changed for `QUIET_S`, and is marked `quiescent`.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from labbook.errors import DamagedFile
from labbook.watch import dcp, markers, shards, torch_zip
from labbook.watch.identity import Identity, Tick, hash_files, identify

__all__ = ["QUIET_S", "Unfinished", "Verdict", "Whole", "examine", "is_folder_format"]

QUIET_S = 10.0
"""Seconds without a change after which a damaged file is not called "still being written" any
more, and a file of unknown format is taken as it is."""

_TEMPORARY = (".tmp", ".part", ".incomplete")


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete checkpoint. `kind`: torch, safetensors, hf, dcp, one of `markers`, or unknown."""

    kind: str
    digest: str
    identity: Identity
    completeness: str
    """`structure`; `marker` where only the file its writer leaves last speaks for it, `quiescent`
    where only the absence of change does."""


@dataclass(frozen=True)
class Unfinished:
    """Not usable now. `is_waiting`: it may still be being written, ask again."""

    text: str
    is_waiting: bool


Verdict = Whole | Unfinished


class _NotYet(Exception):
    """Looks whole, but only quiescence can tell."""


def is_folder_format(folder: Path) -> bool:
    """True for a folder that is one checkpoint."""
    return (
        (folder / dcp.METADATA).is_file()
        or shards.index_of(folder) is not None
        or (folder / "model.safetensors").is_file()
        or markers.kind_of(folder) is not None
        or bool(shards.shards_in(folder))
        or any(name.endswith(dcp.SHARD) for name in os.listdir(folder))
    )


def examine(path: Path, expected_size: int | None, now_ns: int, tick: Tick) -> Verdict:
    """Look at the checkpoint at `path` once.

    `expected_size` is its sidecar's, None without one. `now_ns` is the file server's clock.
    Raises `FileNotFoundError` when it is gone, other `OSError`s as they come.
    """
    before = identify(path)
    quiet_s = (now_ns - before.mtime_ns) / 1e9
    # run.save() renames a finished file in: what is short now stays short
    if expected_size is not None:
        quiet_s = math.inf
    if path.name.endswith(_TEMPORARY) or path.name.startswith("."):
        return Unfinished("a temporary file of its writer", is_waiting=True)
    try:
        if expected_size is not None and before.size != expected_size:
            raise DamagedFile(f"it has {before.size} of {expected_size} bytes")
        kind, digest, completeness = _check(path, quiet_s, tick)
    except DamagedFile as error:
        return Unfinished(str(error), is_waiting=quiet_s < QUIET_S)
    except _NotYet as error:
        return Unfinished(str(error), is_waiting=True)
    if identify(path) != before:
        return Unfinished("it changed while it was looked at", is_waiting=True)
    return Whole(kind, digest, before, completeness)


def _check(path: Path, quiet_s: float, tick: Tick) -> tuple[str, str, str]:
    if path.is_dir():
        return _check_folder(path, quiet_s, tick)
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(torch_zip.MAGIC):
        return "torch", torch_zip.check(path, tick), "structure"
    if path.suffix == ".safetensors":
        return "safetensors", *_check_safetensors(path, [path], quiet_s, tick)
    if not head.strip(b"\0"):
        raise DamagedFile("it is empty or begins with zeros")
    _demand_quiet(quiet_s)
    return "unknown", hash_files(path, [""], tick), "quiescent"


def _check_folder(folder: Path, quiet_s: float, tick: Tick) -> tuple[str, str, str]:
    marked = markers.kind_of(folder)
    if marked is not None:  # first: Megatron's folders have a .metadata too, which is not their end
        markers.check(folder, marked, tick)
        names = [entry[0] for entry in identify(folder).files]
        return marked, hash_files(folder, names, tick), "marker"
    if (folder / dcp.METADATA).is_file():
        return "dcp", hash_files(folder, dcp.check(folder), tick), "structure"
    index = shards.index_of(folder)
    if index is not None:
        return "hf", *_check_sharded(folder, index, quiet_s, tick)
    single = folder / "model.safetensors"
    if single.is_file():
        _check_trainer_state(folder)
        return "hf", *_check_safetensors(folder, [single], quiet_s, tick)
    if shards.shards_in(folder):
        raise DamagedFile(f"the index of its shards ({shards.INDEXES[0]}) is not there")
    if any(name.endswith(dcp.SHARD) for name in os.listdir(folder)):
        raise DamagedFile(f"{dcp.METADATA}, which is renamed in last, is not there")
    _demand_quiet(quiet_s)
    names = [entry[0] for entry in identify(folder).files]
    if not names:
        raise DamagedFile("the folder is empty")
    return "unknown", hash_files(folder, names, tick), "quiescent"


def _check_sharded(folder: Path, index: Path, quiet_s: float, tick: Tick) -> tuple[str, str]:
    weight_map = shards.read_index(index)
    files = [folder / name for name in sorted(set(weight_map.values()))]
    for file in files:
        if not file.is_file():
            raise DamagedFile(f"shard {file.name} is missing")
    _check_trainer_state(folder)
    if index.name.endswith(".bin.index.json"):
        for file in files:
            torch_zip.check(file, tick)
        _check_order(index, files, quiet_s)
        return hash_files(folder, [index.name, *(file.name for file in files)], tick), "structure"
    for file in files:
        held = shards.read_header(file).tensors
        missing = [
            name for name, shard in weight_map.items() if shard == file.name and name not in held
        ]
        if missing:
            raise DamagedFile(
                f"{index.name} is of another save: {file.name} does not hold {missing[0]}"
            )
    _check_order(index, files, quiet_s)
    return _check_safetensors(folder, files, quiet_s, tick, [index.name])


def _check_order(index: Path, files: list[Path], quiet_s: float) -> None:
    if not shards.check_order(index, files):
        _demand_quiet(quiet_s)


def _check_safetensors(
    root: Path, files: list[Path], quiet_s: float, tick: Tick, more: list[str] | None = None
) -> tuple[str, str]:
    for file in files:
        shards.read_header(file)
        if shards.has_blank_tail(file):
            _demand_quiet(quiet_s)
    names = ["" if file == root else file.name for file in files]
    return hash_files(root, [*(more or []), *names], tick), "structure"


def _check_trainer_state(folder: Path) -> None:
    """The Hugging Face Trainer writes `trainer_state.json` last; other savers have none."""
    state = folder / "trainer_state.json"
    if not state.is_file():
        if (folder / "training_args.bin").is_file() or (folder / "optimizer.pt").is_file():
            raise DamagedFile("trainer_state.json, which the Trainer writes last, is not there")
        return
    try:
        json.loads(state.read_text())
    except ValueError as error:
        raise DamagedFile(f"trainer_state.json does not parse: {error}") from error


def _demand_quiet(quiet_s: float) -> None:
    if quiet_s < QUIET_S:
        raise _NotYet(f"waiting until nothing in it has changed for {QUIET_S:.0f} s")
