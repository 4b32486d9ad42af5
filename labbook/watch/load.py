"""Puts a checkpoint's weights into the warm model, in place, and nothing else of it.

Nothing in a checkpoint is executed: torch files are read with `weights_only=True`. Copying in
place keeps compiled modules compiled; replacing the parameters would not.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from labbook.errors import EvaluationError
from labbook.watch import dcp, inert, markers, shards

__all__ = ["DamagedLoad", "load_into", "read_state", "unverified", "verify_checksums"]

_KEYS = ("model", "state_dict", "model_state_dict", "module", "net", "network", "weights")
_EMA_KEYS = ("ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema", "shadow")
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip

State = dict[str, Any]


class DamagedLoad(Exception):
    """The bytes cannot be read as the weights they were said to be; worth another try."""


def verify_checksums(path: Path) -> None:
    """Compare a torch file's records with their CRCs, which `torch.load` does not."""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, EOFError) as error:
        raise DamagedLoad(f"the file is damaged: {error}") from error
    if bad is not None:
        raise DamagedLoad(f"record {bad} does not match its checksum: the file is damaged on disk")


def read_state(path: Path, kind: str, weights: str) -> State:
    """The state dict in a checkpoint, on the CPU. `kind` is as `complete.Whole` has it."""
    if kind in markers.KINDS or (kind == "unknown" and path.is_dir()):
        what = f"{kind} folders" if kind in markers.KINDS else f"the folder {path.name}"
        raise EvaluationError(
            f"labbook does not read {what}: write load(context, path) in the evaluation, which "
            "puts the weights into context.model"
        )
    try:
        if kind == "safetensors":
            return _read_safetensors(path)
        if kind == "hf":
            return _read_folder(path)
        if kind == "dcp":
            return _unwrap(_nest(_read_dcp(path)), weights)
        return _unwrap(_read_torch(path), weights)
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise DamagedLoad(f"it cannot be read: {error}") from error


def unverified(kind: str) -> list[str]:
    """A warning where the format could not say that the checkpoint is whole."""
    if kind in markers.KINDS:
        return [f"taken for whole by the marker of {kind} alone, which labbook has not verified"]
    if kind == "unknown":
        return ["of unknown format: taken for whole because nothing in it changed any more"]
    return []


def load_into(model: torch.nn.Module, state: Mapping[str, Any]) -> list[str]:
    """Copy `state` into `model`; returns warnings.

    Wrappers' prefixes (`module.`, `_orig_mod.`, one common prefix) are reconciled. Raises
    `EvaluationError` naming missing, unexpected and mis-shaped keys; the model is then untouched.
    """
    own = model.state_dict()
    wanted = {_bare(name): name for name in own}
    offered, warnings = _best_names(state, set(wanted))
    missing = sorted(wanted[name] for name in wanted.keys() - offered.keys())
    unexpected = sorted(offered.keys() - wanted.keys())
    misshaped = [
        f"{wanted[name]} is {_shape(value)} in the checkpoint and {_shape(own[wanted[name]])} "
        "in the model"
        for name, value in offered.items()
        if name in wanted and _shape(value) != _shape(own[wanted[name]])
    ]
    if missing or unexpected or misshaped:
        parts = [("missing", missing), ("unexpected", unexpected), ("of another shape", misshaped)]
        text = "; ".join(f"{what}: {_some(names)}" for what, names in parts if names)
        raise EvaluationError(
            f"the checkpoint does not fit the model that setup() built: {text}. "
            "Build the model from context.args, or write load(context, path)"
        )
    model.load_state_dict({wanted[name]: value for name, value in offered.items()}, strict=True)
    return warnings


def _best_names(state: Mapping[str, Any], wanted: set[str]) -> tuple[State, list[str]]:
    """`state` under the names that fit best."""
    plain = {_bare(name): value for name, value in state.items()}
    candidates: list[tuple[State, list[str]]] = [(plain, [])]
    # AveragedModel counts its updates beside the weights
    average = {name: value for name, value in plain.items() if name != "n_averaged"}
    if len(average) != len(plain):
        candidates.append((average, []))
    heads = {name.partition(".")[0] for name in plain}
    if len(heads) == 1 and all("." in name for name in plain):
        head = heads.pop()
        note = (
            f"names in the checkpoint begin with {head!r}, which the model does not have: left off"
        )
        candidates.append(({name[len(head) + 1 :]: value for name, value in plain.items()}, [note]))
    return min(candidates, key=lambda pair: len(wanted ^ pair[0].keys()))


def _bare(name: str) -> str:
    """A parameter's name without what DDP and `torch.compile` put into it."""
    name = name.replace("_orig_mod.", "")
    return name.removeprefix("module.")


def _read_torch(path: Path | io.BytesIO) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:
        try:
            return _read_with_stand_ins(path)
        except (pickle.UnpicklingError, AttributeError, RuntimeError, ValueError, TypeError):
            pass  # what torch said first says more
        first = next((line for line in str(error).splitlines() if "GLOBAL" in line), str(error))
        raise EvaluationError(
            "the checkpoint holds objects that are not tensors or plain values, which are never "
            f"executed here ({first.strip()[:300]}). Save model.state_dict(), "
            "or write load(context, path)"
        ) from error
    except RuntimeError as error:
        raise DamagedLoad(f"torch cannot read it: {error}") from error


def _read_with_stand_ins(path: Path | io.BytesIO) -> Any:
    """Read the tensors beside an `argparse.Namespace` and the like, which many savers add.

    An inert object stands for each class or function that torch does not know to be safe: none is
    imported or called. Needs torch 2.6; `AttributeError` before.
    """
    serialization = torch.serialization
    names = serialization.get_unsafe_globals_in_checkpoint(path)
    stand_ins = [(inert.stand_in(name), name) for name in names]
    if isinstance(path, io.BytesIO):
        path.seek(0)
    with serialization.safe_globals(stand_ins):  # type: ignore[arg-type]
        return torch.load(path, map_location="cpu", weights_only=True, mmap=False)


def _unwrap(found: Any, weights: str) -> State:
    """The state dict inside the usual wrappings."""
    if not isinstance(found, Mapping):
        raise EvaluationError(
            f"the checkpoint holds a {type(found).__name__}, not a state dict; "
            "write load(context, path) in the evaluation"
        )
    if weights == "ema":
        inner = next((found[key] for key in _EMA_KEYS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            raise EvaluationError(
                f"weights='ema', and the checkpoint has none of {', '.join(_EMA_KEYS)}; "
                f"it has {_some([str(key) for key in found])}"
            )
        return _unwrap(inner, "model")
    if any(isinstance(value, torch.Tensor) for value in found.values()):
        return {str(name): value for name, value in found.items()}
    for key in _KEYS:
        if isinstance(found.get(key), Mapping) and found[key]:
            return _unwrap(found[key], "model")
    if not found:
        return {}
    raise EvaluationError(
        f"no state dict found in the checkpoint; it has {_some([str(key) for key in found])}. "
        "Save it under 'model', or write load(context, path)"
    )


def _read_folder(folder: Path) -> State:
    index = shards.index_of(folder)
    if index is None:
        return _read_safetensors(folder / "model.safetensors")
    state: State = {}
    for name in sorted(set(shards.read_index(index).values())):
        is_safe = name.endswith(".safetensors")
        state.update(_read_safetensors(folder / name) if is_safe else _read_torch(folder / name))
    return state


def _read_safetensors(path: Path) -> State:
    """Read without a memory map: the trainer may truncate the file under it (SIGBUS)."""
    raw = bytearray(path.read_bytes())
    header = shards.read_header(path)
    state: State = {}
    for name, entry in header.tensors.items():
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise EvaluationError(f"{path.name}: {name} has dtype {entry['dtype']}, unknown here")
        start, end = (header.start + int(offset) for offset in entry["data_offsets"])
        shape = [int(size) for size in entry["shape"]]
        if end - start != math.prod(shape) * dtype.itemsize or end > len(raw):
            raise DamagedLoad(f"{path.name}: {name} has the wrong number of bytes")
        flat = torch.empty(end - start, dtype=torch.uint8)
        flat.numpy()[:] = memoryview(raw)[start:end]
        state[name] = flat.view(dtype).reshape(shape)
    return state


def _read_dcp(folder: Path) -> State:
    """Put a distributed checkpoint's tensors together from their pieces, on one process."""
    items, shapes = dcp.read_items(folder)
    state: State = {}
    for item in items:
        if item.is_transformed:
            raise EvaluationError(f"{folder.name}: {item.name} is compressed; write load()")
        if item.offsets is None and item.name not in shapes:
            continue  # a pickled object; weights are tensors
        with open(folder / item.file, "rb") as file:
            file.seek(item.start)
            piece = _read_torch(io.BytesIO(file.read(item.length)))
        whole = state.setdefault(item.name, torch.empty(shapes[item.name], dtype=piece.dtype))
        offsets = item.offsets or (0,) * piece.dim()
        spans = tuple(slice(at, at + size) for at, size in zip(offsets, piece.shape, strict=True))
        whole[spans] = piece
    return state


def _nest(flat: State) -> State:
    """`{"model.0.weight": t}` as `{"model": {"0.weight": t}}` where all is under known heads."""
    nested: State = {}
    for name, value in flat.items():
        head, _, rest = name.partition(".")
        nested.setdefault(head, {})[rest] = value
    if nested.keys() & {*_KEYS, *_EMA_KEYS}:
        return nested
    return flat


def _shape(value: Any) -> Any:
    return list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__


def _some(names: list[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def describe_settings() -> dict[str, Any]:
    """The numerics of this process that a result depends on."""
    return {
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_tf32": bool(torch.backends.cudnn.allow_tf32),
        "threads": torch.get_num_threads(),
    }
