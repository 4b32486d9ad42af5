"""Tools for one's own tests: batches of prime sizes, and a symmetry that is stated.

What does not hold is a `CheckFailed` that says what to look at. Random generators are left as they
were.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from labbook.checks.batch import leaves
from labbook.client.undisturbed import randomness_kept, seed_all
from labbook.errors import CheckFailed, MisuseError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["equivariant", "primes"]

_PRIMES: Final = (
    7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
    103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181, 191, 193, 197,
    199, 211, 223, 227, 229, 233, 239, 241, 251, 257,
)  # fmt: skip


def primes(
    shape: Sequence[int | None],
    *,
    like: Tensor | None = None,
    classes: int | None = None,
    seed: int = 0,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A dummy batch whose free axes have lengths that are different primes.

    `shape`: a number for an axis that the model fixes, None for a free one: `primes([None, 3, None,
    None])` is (7, 3, 11, 13). No two axes can then be mixed up by a reshape without an error, and a
    product of axes names its factors. `like`: a free axis gets a prime near its length there, and
    the dtype is its. Floats are standard normal, integers are in [0, `classes`). Raises
    `MisuseError` for a shape that is none.
    """
    import torch

    if isinstance(shape, (str, int)) or not isinstance(shape, Sequence) or not shape:
        raise MisuseError(f"primes() takes a shape such as [None, 3, None, None], got {shape!r}")
    if like is not None and like.ndim != len(shape):
        raise MisuseError(f"primes(like=) has {like.ndim} axes, the shape {len(shape)}")
    sizes = _sizes(shape, None if like is None else tuple(like.shape))
    kind = dtype or (like.dtype if like is not None else None)
    if kind is None:
        kind = torch.int64 if classes is not None else torch.float32
    generator = torch.Generator().manual_seed(seed)
    if kind.is_floating_point:
        return torch.randn(sizes, generator=generator).to(kind)
    if classes is None or classes < 1:
        raise MisuseError("primes() of whole numbers needs classes=, how many values there are")
    return torch.randint(0, classes, sizes, generator=generator).to(kind)


def _sizes(shape: Sequence[int | None], like: tuple[int, ...] | None) -> list[int]:
    taken = {size for size in shape if size is not None}
    sizes: list[int] = []
    for axis, size in enumerate(shape):
        if size is not None:
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise MisuseError(f"primes(): axis {axis} must be a length or None, got {size!r}")
            sizes.append(size)
            continue
        near = like[axis] if like is not None and axis > 0 else 0
        free = [p for p in _PRIMES if p not in taken]
        if not free:
            raise MisuseError(f"primes(): more than {len(_PRIMES)} free axes")
        chosen = min(free, key=lambda p: abs(p - near)) if near else free[0]
        taken.add(chosen)
        sizes.append(chosen)
    return sizes


def equivariant(
    transform: Callable[[Any], Any],
    target_transform: Callable[[Any], Any] | None = None,
    *,
    inputs: Any,
    targets: Any,
    loss: Callable[[Any, Any], Any],
    oracle: Callable[[Any], Any] | None = None,
    rtol: float = 1e-5,
    seed: int = 0,
) -> None:
    """Check that inputs and targets are transformed together: flipped pictures, flipped labels.

    States that `transform(x)` has the target `target_transform(y)` (the same y where left out).
    The oracle is the task's own rule where one can be written, `oracle(x)` the perfect output for
    x: then `loss(oracle(T(x)), T'(y))` must equal `loss(oracle(x), y)`, and where its outputs have
    the targets' shape, `oracle(T(x))` must be `T'(oracle(x))`: the two commute. Without an
    oracle the targets stand for the outputs, and must fit as well after the transform:
    `loss(T(y), T'(y))` against `loss(y, y)`, for targets of the inputs' kind (masks, maps), which
    the inputs' transform can move too. Both are called under one seed. Raises `CheckFailed`.
    """
    named = (("transform", transform), ("loss", loss), ("target_transform", target_transform))
    for name, function in (*named, ("oracle", oracle)):
        if function is not None and not callable(function):
            kind = type(function).__name__
            raise MisuseError(f"equivariant({name}=) takes a function, got {kind}")
    moved_targets = _seeded(target_transform or _unchanged, targets, seed)
    if oracle is not None:
        before, after = oracle(inputs), oracle(_seeded(transform, inputs, seed))
    else:
        before, after = targets, _seeded(transform, targets, seed)
        if _shapes(after) != _shapes(moved_targets):
            raise CheckFailed(
                f"the transform gives targets of shape {_shapes(after)}, "
                f"target_transform {_shapes(moved_targets)}"
            )
    if oracle is not None and _shapes(before) == _shapes(targets):
        _check_commutes(after, _seeded(target_transform or _unchanged, before, seed), rtol)
    one, other = _number(loss(before, targets)), _number(loss(after, moved_targets))
    if not abs(one - other) <= rtol * max(abs(one), abs(other), 1.0):
        raise CheckFailed(
            f"the loss of the oracle is {one:.6g} on inputs and targets as they are, and "
            f"{other:.6g} after the transforms: targets are not transformed as their inputs are"
        )


def _check_commutes(after: Any, moved: Any, rtol: float) -> None:
    """Whether the oracle's output of moved inputs is its output, moved."""
    import torch

    for one, other in zip(leaves(after), leaves(moved), strict=True):
        if one.shape != other.shape or not torch.allclose(one, other, rtol, rtol, equal_nan=True):
            raise CheckFailed(
                "oracle(transform(x)) is not target_transform(oracle(x)): outputs are not "
                "transformed as their inputs are"
            )


def _unchanged(targets: Any) -> Any:
    return targets


def _seeded(function: Callable[[Any], Any], value: Any, seed: int) -> Any:
    with randomness_kept():
        seed_all(seed)
        return function(value)


def _shapes(value: Any) -> list[tuple[int, ...]]:
    return [tuple(t.shape) for t in leaves(value)]


def _number(value: Any) -> float:
    detached = value.detach() if hasattr(value, "detach") else value
    try:
        return float(detached)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MisuseError(f"equivariant(loss=) must return one number: {error}") from error
