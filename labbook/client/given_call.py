"""One call of a model during training, beside its tensors: its target, and how it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from labbook.client.dataset import is_tensor
from labbook.client.parts import TARGET_NAMES

__all__ = ["is_recorded_elsewhere", "said", "surroundings", "target_of"]


def target_of(batch: Any) -> Any:
    """The second of a pair, or a mapping's labels; None for anything else: targets are not guessed.

    The same convention as `run.choose`, without its reading of longer tuples.
    """
    if isinstance(batch, Mapping):
        key = next((key for key in TARGET_NAMES if key in batch), None)
        return None if key is None else batch[key]
    return batch[1] if isinstance(batch, (tuple, list)) and len(batch) == 2 else None


def is_recorded_elsewhere() -> bool:
    """Whether a tracer or a CUDA graph is taking this call down: a copy would become part of it."""
    import torch

    cuda: Any = torch.cuda
    if torch._C._get_tracing_state() is not None:
        return True
    return bool(cuda.is_initialized() and cuda.is_current_stream_capturing())


def surroundings(model: Any, args: Any) -> dict[str, Any]:
    """What holds in the first training pass: submodules in eval mode by type, and autocast."""

    device = next((str(a.device.type) for a in args if is_tensor(a)), "cpu")
    in_eval = Counter(type(each).__name__ for each in model.modules() if not each.training)
    return {"eval_modules": dict(in_eval), "autocast": _autocast(device)}


def _autocast(device: str) -> str | None:
    """The dtype of autocast on a device; None when it is off, or not known to torch."""
    import torch

    get_dtype = getattr(torch, "get_autocast_dtype", None)  # since torch 2.4
    try:
        if get_dtype is None or not torch.is_autocast_enabled(device):
            return None
    except RuntimeError:  # the meta device has no autocast
        return None
    return str(get_dtype(device)).removeprefix("torch.")


def said(value: Any) -> str:
    """An argument that is no tensor, in a word."""
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return type(value).__name__
