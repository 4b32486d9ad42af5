"""One batch of the user's, as the model and the loss get it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.client.parts import TARGET_NAMES, is_vector

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Batch", "leaves", "mapped", "split"]


@dataclass(frozen=True)
class Batch:
    """`args` and `kwargs` are what the model is called with, `target` what the loss gets too.

    `raw` is what the loader delivered, for a `forward` of the user's.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    target: Any
    raw: Any

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors the model gets, in order."""
        return [leaf for leaf in leaves((self.args, self.kwargs))]

    @property
    def x(self) -> Tensor:
        """The first tensor the model gets that has more than one number an example, else the first.

        Raises `IndexError` where the model gets no tensor.
        """
        found = self.inputs
        return next((t for t in found if t.ndim > 1), found[0])

    @property
    def n(self) -> int:
        """Examples: the length of the first input's first axis; 0 where there is none."""
        found = [t for t in self.inputs if t.ndim > 0]
        return len(found[0]) if found else 0

    def map_inputs(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same with every input tensor changed; the target is left alone."""
        return Batch(mapped(self.args, change), mapped(self.kwargs, change), self.target, self.raw)

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same with every tensor changed, inputs and target."""
        return Batch(
            mapped(self.args, change),
            mapped(self.kwargs, change),
            mapped(self.target, change),
            mapped(self.raw, change),
        )

    def take(self, index: Sequence[int] | Tensor) -> Batch:
        """Some of its examples, in this order; tensors without that many rows are left alone."""
        n = self.n

        def chosen(tensor: Tensor) -> Tensor:
            return tensor[index] if tensor.ndim > 0 and len(tensor) == n else tensor

        return self.map(chosen)

    def to(self, device: torch.device | str) -> Batch:
        """On a device."""
        return self.map(lambda tensor: tensor.to(device))


def split(raw: Any, has_loss: bool, own: Callable[[Any], tuple[Any, Any]] | None = None) -> Batch:
    """Tell a batch's inputs from its target; see `Subject` for what a loader may deliver."""
    if own is not None:
        inputs, target = own(raw)
        args, kwargs = _call(inputs)
        return Batch(args, kwargs, target, raw)
    if isinstance(raw, Mapping):
        key = next((name for name in TARGET_NAMES if name in raw), None)
        kept = {name: part for name, part in raw.items() if not has_loss or name != key}
        return Batch((), kept, raw[key] if key is not None else None, raw)
    if isinstance(raw, (tuple, list)) and raw and not is_vector(raw):
        if len(raw) == 1:
            args, kwargs = _call(raw[0])
            return Batch(args, kwargs, raw[0], raw)
        args, kwargs = _call(raw[0]) if len(raw) == 2 else (tuple(raw[:-1]), {})
        return Batch(args, kwargs, raw[-1], raw)
    args, kwargs = _call(raw)
    return Batch(args, kwargs, raw, raw)


def _call(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, tuple) else (inputs,)), {}


def leaves(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and mappings, in order."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from leaves(part)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with every tensor changed."""
    import torch

    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        parts = {name: mapped(part, change) for name, part in value.items()}
        try:
            return type(value)(parts)  # type: ignore[call-arg]
        except TypeError:
            return parts
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(part, change) for part in value))
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(part, change) for part in value)
    return value
