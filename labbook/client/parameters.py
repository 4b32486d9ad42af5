"""The parameters of a net around one optimizer step: weights, gradients, updates.

Measured where they lie, in a few kernels a tensor; the results stay there (`labbook.client.
arriving` fetches them). Before the step a copy of the weights is kept until after it: of a tensor
with more than `COPIED` elements only every so many-th, and its update is estimated from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from labbook.client.arriving import Vector
from labbook.client.tensor_stats import (
    BINS,
    by_device,
    flat,
    histogram,
    is_measurable,
    nonfinite,
    norms,
    stride_for,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["STATISTICS", "Update", "factors", "gradients", "row", "updates", "weights"]

STATISTICS: Final = (
    "weight_norm",
    "gradient_norm",
    "update_norm",
    "update_ratio",
    "zeros",
    "weight_nonfinite",
    "gradient_nonfinite",
)
"""Of each parameter tensor, in the order of writing."""

HISTOGRAMS: Final = ("weight_histogram", "gradient_histogram")

COPIED: Final = 1 << 22
"""Elements of one tensor whose values before the step are kept, 16 MiB of float32."""

Named = Sequence[tuple[str, "nn.Parameter"]]


def weights(parameters: Named, *, histograms: bool) -> list[Vector]:
    """Norms, non-zero elements, non-finite elements, and histograms, of all that have values."""
    import torch

    found: list[Vector] = []
    for group in by_device([(n, p.detach()) for n, p in parameters if is_measurable(p)]):
        names, tensors = [n for n, _ in group], [t for _, t in group]
        norm = norms(tensors)
        found.append((_named("weight_norm", names), norm))
        counts = torch.stack([torch.count_nonzero(tensor) for tensor in tensors])
        found.append((_named("nonzeros", names), counts))
        found.append((_named("weight_nonfinite", names), nonfinite(tensors, norm)))
        found += _histograms("weight_histogram", group) if histograms else []
    return found


def gradients(parameters: Named, scale: Any, *, histograms: bool) -> list[Vector]:
    """Norms and non-finite elements of the gradients there are.

    `scale` divides them: that of a GradScaler whose optimizer unscales in its own kernel.
    """
    there = [(name, _dense(p.grad)) for name, p in parameters if p.grad is not None]
    found: list[Vector] = []
    for group in by_device([(name, g) for name, g in there if is_measurable(g)]):
        names, tensors = [n for n, _ in group], [t for _, t in group]
        norm = norms(tensors)
        count = nonfinite(tensors, norm)
        if scale is not None:
            norm = norm / (scale.to(norm.device) if hasattr(scale, "to") else scale)
        found.append((_named("gradient_norm", names), norm))
        found.append((_named("gradient_nonfinite", names), count))
        found += _histograms("gradient_histogram", group) if histograms else []
    return found


def _dense(gradient: Tensor) -> Tensor:
    """The elements of a gradient that are stored."""
    gradient = gradient.detach()
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _named(statistic: str, names: Iterable[str]) -> list[str]:
    return [f"{statistic}/{name}" for name in names]


def _histograms(statistic: str, group: Sequence[tuple[str, Tensor]]) -> list[Vector]:
    return [(_bins(statistic, name), histogram(tensor)) for name, tensor in group]


def _bins(statistic: str, name: str) -> list[str]:
    parts = ["low", "high", *(f"{i:02}" for i in range(BINS))]
    return [f"{statistic}.{part}/{name}" for part in parts]


@dataclass(frozen=True)
class Update:
    """What is kept of the weights before a step, on one device."""

    names: list[str]
    live: list[Tensor]
    """Views of the parameters."""
    before: list[Tensor]
    factors: list[float]
    """By which a norm of the elements kept stands for that of all."""

    @classmethod
    def before_step(cls, parameters: Named) -> list[Update]:
        """Copy the weights that the step will change."""
        made = []
        wanted = [(n, p.detach()) for n, p in parameters if p.requires_grad and is_measurable(p)]
        for group in by_device(wanted):
            live = [flat(t)[:: stride_for(t.shape, COPIED)] for _, t in group]
            pairs = zip(group, live, strict=True)
            factors = [math.sqrt(t.numel() / part.numel()) for (_, t), part in pairs]
            made.append(cls([n for n, _ in group], live, [part.clone() for part in live], factors))
        return made


def updates(kept: Iterable[Update]) -> list[Vector]:
    """Norms of what the step changed; the copies are used up."""
    import torch

    found: list[Vector] = []
    for update in kept:
        torch._foreach_sub_(update.before, update.live)
        found.append((_named("update_norm", update.names), norms(update.before)))
    return found


def factors(kept: Iterable[Update]) -> dict[str, float]:
    """By name what its update norm has yet to be multiplied with."""
    return {
        f"update_norm/{name}": factor
        for update in kept
        for name, factor in zip(update.names, update.factors, strict=True)
        if factor != 1
    }


def row(
    sizes: Mapping[str, int], found: Mapping[str, float], *, histograms: bool
) -> tuple[tuple[str, ...], list[float | None]]:
    """Names and values of one row of the table "model"; what was not measured is None.

    `sizes`: elements of each parameter tensor. The whole net is `(model)`: its norms are those of
    all parameters that have one, together.
    """
    values: dict[str, float | None] = {}
    for name, size in sizes.items():
        for statistic in STATISTICS:
            values[f"{statistic}/{name}"] = found.get(f"{statistic}/{name}")
        nonzeros = found.get(f"nonzeros/{name}")
        values[f"zeros/{name}"] = None if nonzeros is None else 1 - nonzeros / size
        norms = values[f"update_norm/{name}"], values[f"weight_norm/{name}"]
        values[f"update_ratio/{name}"] = _divided(*norms)
        for statistic in HISTOGRAMS if histograms else ():
            values |= {each: found.get(each) for each in _bins(statistic, name)}
    for statistic in ("weight_norm", "gradient_norm", "update_norm"):
        values[f"{statistic}/(model)"] = _together(values[f"{statistic}/{n}"] for n in sizes)
    moved = [name for name in sizes if values[f"update_norm/{name}"] is not None]
    weight = _together(values[f"weight_norm/{name}"] for name in moved)  # of frozen ones no part
    values["update_ratio/(model)"] = _divided(values["update_norm/(model)"], weight)
    return tuple(values), list(values.values())


def _divided(update: float | None, weight: float | None) -> float | None:
    # of weights that are all zero there is no ratio
    return None if update is None or not weight else update / weight


def _together(norms: Iterable[float | None]) -> float | None:
    known = [norm for norm in norms if norm is not None]
    return math.hypot(*known) if known else None
