"""In which module do two passes over the same examples begin to differ?

Both passes are watched from inside: what goes into each module and what comes out of it, reduced to
two numbers an example. The first module to finish whose inputs agree and whose outputs do not is
the culprit; a module finishes after those inside it, so it is the innermost one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from labbook.watch.precision import is_compiled

__all__ = ["culprit"]

Signature = torch.Tensor | None
"""(examples, 2): mean and standard deviation over everything else."""


@dataclass(frozen=True)
class _Call:
    name: str
    kind: str
    inside: Signature
    outside: Signature


def culprit(
    modules: dict[str, torch.nn.Module],
    passes: Sequence[tuple[Callable[[], Any], Sequence[int]]],
    tolerance: float,
) -> str | None:
    """`name (Type)` of the module, or None where it cannot be told.

    `passes` are two: what runs each of them, and which of its examples, in order, are to be
    compared with those of the other.
    """
    if any(is_compiled(model) for model in modules.values()):
        return None
    (first, places), (second, others) = passes
    one, other = _watched(modules, first), _watched(modules, second)
    for a, b in zip(one, other, strict=False):
        if a.name != b.name:
            return None
        if _agree(a.inside, b.inside, places, others, tolerance) is not True:
            continue
        if _agree(a.outside, b.outside, places, others, tolerance) is False:
            return f"{a.name} ({a.kind})" if a.name else f"{a.kind}.forward itself"
    return None


def _watched(modules: dict[str, torch.nn.Module], run: Callable[[], Any]) -> list[_Call]:
    calls: list[_Call] = []
    handles = []

    def note(name: str) -> Any:
        def hook(module: torch.nn.Module, given: Any, named: Any, found: Any) -> None:
            kind, inside = type(module).__name__, _signature(given or named)
            calls.append(_Call(name, kind, inside, _signature(found)))

        return hook

    for root, model in modules.items():
        for inner, module in model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                name = ".".join(part for part in (root, inner) if part)
                handles.append(module.register_forward_hook(note(name), with_kwargs=True))
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _signature(value: Any) -> Signature:
    tensor = _first_tensor(value)
    if tensor is None or tensor.ndim == 0 or tensor.is_complex():
        return None
    flat = tensor.detach().reshape(len(tensor), -1).double()
    spread = flat.std(1, correction=0) if flat.shape[1] else flat.sum(1)
    return torch.stack([flat.mean(1), spread], 1).cpu()


def _first_tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value
    parts = value.values() if isinstance(value, dict) else value
    if isinstance(parts, tuple | list) or isinstance(value, dict):
        return next((t for part in parts if (t := _first_tensor(part)) is not None), None)
    return None


def _agree(
    a: Signature, b: Signature, places: Sequence[int], others: Sequence[int], tolerance: float
) -> bool | None:
    """None where the two cannot be compared."""
    if a is None or b is None or len(a) <= max(places) or len(b) <= max(others):
        return None
    one, other = a[list(places)], b[list(others)]
    size = float(one.square().mean().sqrt())
    gap = (one - other).abs()
    limit = tolerance * torch.maximum(torch.full_like(gap, size), one.abs())
    return bool((gap.nan_to_num() <= limit).all())
