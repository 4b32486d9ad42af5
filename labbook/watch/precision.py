"""With which numbers a result was computed, seen from the model's first batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["Seen", "describe", "is_compiled", "tolerance", "watching"]

_COARSE = {torch.bfloat16: 5e-2, torch.float16: 2e-2}


@dataclass
class Seen:
    """What was so while the modules were called: dtypes autocast to, modules in training mode."""

    autocast: set[str] = field(default_factory=set)
    training: dict[str, str] = field(default_factory=dict)
    """Type of each module that was in training mode, by name."""
    n_calls: int = 0


@contextmanager
def watching(modules: dict[str, torch.nn.Module], device: torch.device) -> Iterator[Seen]:
    """Note what is so at each call of each module; nothing is noted of compiled ones.

    A hook on a compiled module would have it compiled again.
    """
    seen = Seen()
    handles = []

    def note(name: str) -> Any:
        def hook(module: torch.nn.Module, _: Any) -> None:
            seen.n_calls += 1
            if module.training:
                seen.training[name] = type(module).__name__
            if torch.is_autocast_enabled(device.type):
                seen.autocast.add(_name(torch.get_autocast_dtype(device.type)))

        return hook

    for root, model in modules.items():
        if is_compiled(model):
            continue
        for inner, module in model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                name = ".".join(part for part in (root, inner) if part)
                handles.append(module.register_forward_pre_hook(note(name)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def is_compiled(model: torch.nn.Module) -> bool:
    """Whether it, or a part of it, was given to `torch.compile`."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )


def describe(model: Any, seen: Seen | None, device: torch.device) -> dict[str, Any]:
    """As results have it under `precision`. `autocast` is None where none was on, and "unknown"
    where the modules' calls could not be seen."""
    dtypes: dict[str, int] = {}
    if isinstance(model, torch.nn.Module):
        for parameter in model.parameters():
            dtypes[_name(parameter.dtype)] = dtypes.get(_name(parameter.dtype), 0) + 1
    autocast: Any = "unknown"
    if seen is not None and seen.n_calls:
        autocast = "+".join(sorted(seen.autocast)) or None
    return {
        "parameters": sorted(dtypes),
        "default_dtype": _name(torch.get_default_dtype()),
        "autocast": autocast,
        "tf32": device.type == "cuda" and torch.backends.cuda.matmul.allow_tf32,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


def tolerance(precision: dict[str, Any]) -> float:
    """How far apart two computations of one value may lie, relative to the column's size.

    By the coarsest numbers at work: 1e-9 for float64, 1e-3 for float32 (a few hundred layers of
    sums in another order), 1e-2 with TF32, 2e-2 for float16, 5e-2 for bfloat16.
    """
    names = {*precision["parameters"], *str(precision["autocast"] or "").split("+")}
    found = 1e-9 if names & {"float64"} and not names & {"float32"} else 1e-3
    if precision["tf32"]:
        found = 1e-2
    for dtype, limit in _COARSE.items():
        if _name(dtype) in names:
            found = max(found, limit)
    # autocast not seen: it may be on
    return max(found, 2e-2) if precision["autocast"] == "unknown" and precision["tf32"] else found


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
