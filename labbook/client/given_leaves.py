"""The tensors in what a model is called with, by name; and copies of them.

Invariant: taking a copy never waits for a device. On CUDA it is enqueued on the current stream, to
pinned memory, with an event behind it; what the program does to the tensor afterwards comes later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from labbook.client.dataset import is_array, is_tensor

__all__ = ["MOST_LEAVES", "Copy", "leaves", "parameter_names", "taken"]

MOST_LEAVES: Final = 32
_DEPTH: Final = 8

_NOT_PLAIN: Final = frozenset({"DTensor", "FakeTensor", "FunctionalTensor", "NestedTensor"})


@dataclass
class Copy:
    """One input of one batch; `values` holds its first examples on the host, None with a reason."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    values: Any = None
    reason: str | None = None
    event: Any = None
    """Passed once the copy has arrived; None when it is there already."""

    @property
    def n_bytes(self) -> int:
        """What the copy takes."""
        return 0 if self.values is None else int(self.values.nbytes)

    def has_arrived(self) -> bool:
        """Whether the values can be read."""
        return self.event is None or bool(self.event.query())


def parameter_names(model: Any) -> list[str]:
    """Names of the positional parameters of `forward`; fewer when they cannot be told."""
    import inspect

    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError, AttributeError):
        return []
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return [p.name for p in parameters if p.kind in kinds]


def leaves(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], names: list[str]
) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of every leaf: `x`, `batch.ids`, `args.3`; at most `MOST_LEAVES`."""
    n = 0
    for place, value in enumerate(args):
        name = names[place] if place < len(names) else f"args.{place}"
        for found in _leaves(name, value, _DEPTH):
            n += 1
            if n > MOST_LEAVES:
                return
            yield found
    for name, value in kwargs.items():
        for found in _leaves(name, value, _DEPTH):
            n += 1
            if n > MOST_LEAVES:
                return
            yield found


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if is_tensor(value) or is_array(value) or not depth:
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(f"{name}.{key}", part, depth - 1)
    elif isinstance(value, (tuple, list)):
        labels = getattr(value, "_fields", range(len(value)))
        for label, part in zip(labels, value, strict=False):
            yield from _leaves(f"{name}.{label}", part, depth - 1)
    else:
        yield name, value


def taken(name: str, value: Any, budget: int) -> Copy:
    """Copy the first examples of a tensor or array, at most `budget` bytes of them."""
    shape = tuple(value.shape)
    is_torch = is_tensor(value)
    dtype = str(value.dtype).removeprefix("torch.")
    made = Copy(name, shape, dtype, str(value.device) if is_torch else "numpy")
    made.reason = _why_not(value) if is_torch else _why_not_array(value)
    if made.reason is not None:
        return made
    if shape:
        n, each = shape[0], value.nbytes // max(shape[0], 1)
        fits = n if each * n <= budget else budget // each
        if n and not fits:
            made.reason = f"one example is {each:,} bytes"
            return made
        value = value[:fits] if fits < n else value
    if not is_torch:
        made.values = value.copy()
    elif value.device.type == "cpu":
        made.values = _plain(value).clone()
    else:
        made.values, made.event = _from_device(value)
    return made


def _plain(tensor: Any) -> Any:
    import torch

    # torchvision's images are tensors of a class of their own, which would act in every operation
    return tensor.detach().as_subclass(torch.Tensor)


def _from_device(tensor: Any) -> tuple[Any, Any]:
    import torch

    plain = _plain(tensor)
    if plain.device.type != "cuda":
        return plain.to("cpu", copy=True), None
    with torch.cuda.device(plain.device):
        host = torch.empty(plain.shape, dtype=plain.dtype, pin_memory=True)
        host.copy_(plain, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
    return host, event


def _why_not(tensor: Any) -> str | None:
    import torch

    name = type(tensor).__name__
    rules: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: name in _NOT_PLAIN or tensor.is_nested, f"a {name} has no values of its own here"),
        (lambda: tensor.layout != torch.strided, f"its layout is {tensor.layout}"),
        (lambda: tensor.is_quantized, "it is quantised"),
        (tensor.is_complex, "it is complex"),
        (lambda: tensor.device.type == "meta", "it is on the meta device"),
    )
    return next((reason for holds, reason in rules if holds()), None)


def _why_not_array(array: Any) -> str | None:
    return None if array.dtype.kind in "fiub" else f"it holds {array.dtype}"
