"""What of an output is kept: all of it, its highest entries, its class, statistics, or as told."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from labbook.errors import MisuseError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Keep", "Keeping", "class_axis", "keeping", "kept"]

Keep = str | Callable[[Any], Any] | None

PRECISIONS: Final = ("float32", "bf16")


@dataclass(frozen=True)
class Keeping:
    """What is kept, and how precisely. `what` is None for everything."""

    what: Keep = None
    top: int = 0
    is_rounded: bool = False

    @property
    def header(self) -> dict[str, str]:
        """What a record's header says of it."""
        found = {"precision": "bf16"} if self.is_rounded else {}
        if self.what is not None:
            found["keep"] = self.what if isinstance(self.what, str) else "function"
        return found


def keeping(keep: Any, precision: Any) -> Keeping:
    """Check the arguments of `choose`; raises `MisuseError`."""
    if precision not in PRECISIONS:
        raise MisuseError(f'choose(precision=) must be "float32" or "bf16", got {precision!r}')
    is_rounded = precision == "bf16"
    if keep is None or callable(keep) or keep in ("argmax", "stats"):
        return Keeping(keep, 0, is_rounded)
    top = re.fullmatch(r"top([1-9]\d*)", keep) if isinstance(keep, str) else None
    if top is None:
        raise MisuseError(
            'choose(keep=) must be "top5" (any number), "argmax", "stats" or a function of the '
            f"output, got {keep!r}"
        )
    return Keeping(keep, int(top[1]), is_rounded)


def class_axis(scores: Tensor, truth: Any) -> int | None:
    """The axis of class scores that counts the classes, where `truth` holds whole numbers.

    It is the one without which the output has the target's shape: the last of (N, T, classes), the
    second of (N, classes, H, W). None when there is none.
    """
    import torch

    if scores.ndim < 2 or not scores.is_floating_point() or not isinstance(truth, torch.Tensor):
        return None
    if truth.is_floating_point() or truth.is_complex():
        return None
    for axis in (scores.ndim - 1, 1):
        rest = [*scores.shape[:axis], *scores.shape[axis + 1 :]]
        if rest == [*truth.shape] and scores.shape[axis] > 1:
            return axis
    return None


def kept(scores: Tensor, how: Keeping, axis: int | None) -> dict[str, Tensor]:
    """Return the columns that stand for an output, (examples, …) each.

    `axis` counts the classes, if that is known; else it is the last one, and of pictures (N, C, H,
    W) the second.
    """
    if how.what == "stats":
        return _stats(scores)
    if scores.ndim < 2:
        return {"output": scores}
    if axis is None:
        axis = 1 if scores.ndim > 3 else scores.ndim - 1
    if how.what == "argmax":
        return {"prediction": scores.argmax(axis)}
    last = scores.movedim(axis, -1)
    values, indices = last.topk(min(how.top, last.shape[-1]), -1)
    # with it, probabilities can be had: exp(value - logsumexp)
    return {
        "top_values": values,
        "top_indices": indices,
        "logsumexp": last.float().logsumexp(-1),
    }


def _stats(scores: Tensor) -> dict[str, Tensor]:
    """Of each example's finite values; NaN where there are none. The deviation is that of all."""
    import torch

    flat = scores.float().reshape(len(scores), -1)
    known = flat.isfinite()
    count = known.sum(1)
    zero = torch.zeros((), device=flat.device)
    mean = torch.where(known, flat, zero).sum(1) / count
    square = torch.where(known, flat - mean[:, None], zero).square().sum(1) / count
    inf = torch.full((), float("inf"), device=flat.device)
    some, nan = count > 0, torch.full((), float("nan"), device=flat.device)
    return {
        "output_mean": mean,
        "output_std": square.sqrt(),
        "output_min": torch.where(some, torch.where(known, flat, inf).amin(1), nan),
        "output_max": torch.where(some, torch.where(known, flat, -inf).amax(1), nan),
        "output_nonfinite": flat.shape[1] - count,
    }
