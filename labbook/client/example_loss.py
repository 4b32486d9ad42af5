"""One loss per example, from the loss function that the user trains with.

A loss that already returns a vector is taken as it is. One that reduces to a number is computed
example by example on slices of the output, and believed only when the mean over the examples is
the number it returns for the batch: a loss that weights or mixes examples is refused.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labbook.client.batches import one_of
from labbook.errors import MisuseError

if TYPE_CHECKING:
    import torch

__all__ = ["NO_TARGET", "example_losses"]

NO_TARGET: Any = object()
"""Stands for "these examples have no target": the loss is called with the output alone."""

_TOLERANCE = {"torch.float64": 1e-6, "torch.float32": 1e-4}
_LOW_PRECISION_TOLERANCE = 2e-2

_FIX = (
    "use the same loss with reduction='none' averaged to one value an example, or pass "
    "observe() a function of (output, target) that returns a vector with one loss an example"
)


def example_losses(loss: Callable[..., Any], output: Any, target: Any, n: int) -> torch.Tensor:
    """Return the losses of a batch of `n` examples, shape (n,), detached, on the output's device.

    Raises `MisuseError` when the loss is neither one value an example nor their mean.
    """
    import torch

    value = _call(loss, output, target)
    if not isinstance(value, torch.Tensor):
        raise MisuseError(f"the loss must return a tensor, got {type(value).__name__}; {_FIX}")
    value = value.detach()
    if value.shape == (n,):
        return value
    if value.numel() != 1 or value.ndim > 1:
        raise MisuseError(
            f"the loss returned shape {tuple(value.shape)} for a batch of {n} examples; {_FIX}"
        )
    value = value.reshape(())
    if n == 1:
        return value.reshape(1)
    losses = _unreduced(loss, output, target, n)
    if losses is None or not _agree(losses, value):
        losses = torch.stack(
            [_single(loss, one_of(output, i, n), one_of(target, i, n)) for i in range(n)]
        )
        if not _agree(losses, value):
            raise MisuseError(
                f"the loss of the batch is {value.item():.6g}, but the mean over its {n} examples "
                f"is {losses.mean().item():.6g}: it is not a mean over examples "
                f"(a sum, class weights, or examples that act on each other); {_FIX}"
            )
    return losses


def _call(loss: Callable[..., Any], output: Any, target: Any) -> Any:
    if target is not NO_TARGET:
        return loss(output, target)
    try:
        return loss(output)
    except TypeError as error:
        error.add_note(
            "labbook: the chosen examples have no target, so the loss was called with the output "
            "alone; choose(target=…) names one, for example target=lambda x: x"
        )
        raise


def _single(loss: Callable[..., Any], output: Any, target: Any) -> torch.Tensor:
    value: torch.Tensor = _call(loss, output, target).detach().reshape(())
    return value


def _unreduced(loss: Callable[..., Any], output: Any, target: Any, n: int) -> torch.Tensor | None:
    """Ask torch's own losses for all examples in one call; None when this is not one of them."""
    import torch

    if target is NO_TARGET:
        return None
    module = getattr(type(loss), "__module__", "")
    if module == "torch.nn.modules.loss" and hasattr(loss, "reduction"):
        every = copy.copy(loss)
        every.reduction = "none"
    elif getattr(loss, "__module__", "") == "torch.nn.functional":
        every = functools.partial(loss, reduction="none")
    else:
        return None
    try:
        values = every(output, target)
    except (TypeError, ValueError, RuntimeError):
        return None  # it takes no reduction; the slices will tell
    if not isinstance(values, torch.Tensor) or not values.ndim or values.shape[0] != n:
        return None
    return values.detach().reshape(n, -1).mean(1) if values.numel() else None


def _agree(losses: torch.Tensor, batch: torch.Tensor) -> bool:
    import torch

    losses = losses.cpu().double()  # the one time that a device is waited for
    mean, whole = float(losses.mean()), float(batch)
    if not (math.isfinite(mean) and math.isfinite(whole)):
        return mean == whole or (math.isnan(mean) and math.isnan(whole))
    tolerance = _TOLERANCE.get(str(batch.dtype), _LOW_PRECISION_TOLERANCE)
    # the scale of the terms, not of their mean, bounds what rounding can do
    return abs(mean - whole) <= tolerance * float(torch.linalg.vector_norm(losses, 1)) / len(losses)
