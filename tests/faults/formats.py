"""The ways in which checkpoints come to lie on a disk, as their writers do it.

A writer is called in a child process that may be killed at any moment. `kind` is what
`labbook.watch.complete` calls the format.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

State = dict[str, torch.Tensor]
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Format:
    """`name` of the file or folder, and how a state gets there."""

    kind: str
    name: str
    write: Callable[[Path, State], None]


def _torch(path: Path, state: State) -> None:
    torch.save({"model": state, "step": 7}, path)


def _labbook(path: Path, state: State) -> None:
    from labbook.client.checkpoints import write_atomically

    write_atomically(path, state)


def _broken_off(path: Path, state: State) -> None:
    """`torch.save` that an exception ends: it still closes its archive, over what there is."""
    import pickle

    first = float(state["a"].sum())
    limit = 2 + int(abs(first) * 1e3) % 12  # some saves get through
    with torch.serialization._open_zipfile_writer(str(path)) as archive:
        torch.serialization._save(
            {"model": state}, _Limited(archive, limit), pickle, 2, _disable_byteorder_record=False
        )


class _Limited:
    def __init__(self, archive: object, limit: int) -> None:
        self._archive, self._left = archive, limit

    def __getattr__(self, name: str) -> object:
        return getattr(self._archive, name)

    def write_record(self, *args: object) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError("no space left")
        self._archive.write_record(*args)  # type: ignore[attr-defined]


def _safetensors(path: Path, state: State) -> None:
    from safetensors.torch import save_file

    save_file(state, path)


def _in_order(path: Path, state: State) -> None:
    """As safetensors before 0.8 wrote: in place, from the first byte to the last."""
    raw = _encoded(state)
    with open(path, "wb", buffering=0) as file:
        for start in range(0, len(raw), _CHUNK):
            file.write(raw[start : start + _CHUNK])


def _length_first(path: Path, state: State) -> None:
    """As 0.8.0rc0 and parallel copies write: the whole length at once, then the bytes."""
    raw = _encoded(state)
    with open(path, "wb", buffering=0) as file:
        os.ftruncate(file.fileno(), len(raw))
        for start in range(0, len(raw), _CHUNK):
            file.write(raw[start : start + _CHUNK])


def _moved(path: Path, state: State) -> None:
    """As Lightning writes with TMPDIR on another filesystem: a move that is a copy."""
    with tempfile.TemporaryFile() as source:
        torch.save({"state_dict": state, "pytorch-lightning_version": "2.6"}, source)
        source.seek(0)
        with open(path, "wb", buffering=0) as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)


def _sharded(folder: Path, state: State) -> None:
    """As Transformers writes: shards, the index, the rest, and the Trainer's state last."""
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    names = sorted(state)
    shards = {
        name: f"model-{i:05}-of-{len(names):05}.safetensors" for i, name in enumerate(names, 1)
    }
    for name, shard in shards.items():
        save_file({name: state[name]}, folder / shard)
    index = {"metadata": {}, "weight_map": shards}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    _trainers_rest(folder, state)


def _one_file(folder: Path, state: State) -> None:
    """As Transformers writes a smaller net: one file of weights, then the same rest."""
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    save_file(state, folder / "model.safetensors")
    _trainers_rest(folder, state)


def _trainers_rest(folder: Path, state: State) -> None:
    torch.save({}, folder / "training_args.bin")
    torch.save({"m": state["a"]}, folder / "optimizer.pt")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 7}))


def _distributed(folder: Path, state: State) -> None:
    import torch.distributed.checkpoint as dcp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one process on purpose
        dcp.save({"model": state}, checkpoint_id=folder, no_dist=True)


def _encoded(state: State) -> bytes:
    from safetensors.torch import save

    return save(state)


FORMATS = {
    "torch.save": Format("torch", "step-7.pt", _torch),
    "torch.save, exception": Format("torch", "step-7.pt", _broken_off),
    "run.save": Format("torch", "step-7.pt", _labbook),
    "lightning, other disk": Format("torch", "epoch=0-step=7.ckpt", _moved),
    "safetensors": Format("safetensors", "step-7.safetensors", _safetensors),
    "safetensors in order": Format("safetensors", "step-7.safetensors", _in_order),
    "safetensors, length first": Format("safetensors", "step-7.safetensors", _length_first),
    "hf one file": Format("hf", "checkpoint-7", _one_file),
    "hf sharded": Format("hf", "checkpoint-7", _sharded),
    "dcp": Format("dcp", "step-7", _distributed),
}


def warm_up() -> None:
    """Import what the writers need, so that a child spends its time on saving."""
    for name in ("safetensors.torch", "torch.distributed.checkpoint", "labbook.client.checkpoints"):
        importlib.import_module(name)


def state_of(seed: int, size: int = 100_000) -> State:
    """Weights that only this seed has; the last byte of a file is never zero by chance."""
    make = torch.Generator().manual_seed(seed)
    return {name: torch.randn(size, generator=make) + 0.5 for name in ("a", "b", "c", "d")}
