"""Batches of chosen examples: collating them, moving them, cutting them into single examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.client.parts import Target, inputs_and_target, is_vector
from labbook.client.undisturbed import randomness_kept, seed_all
from labbook.errors import MisuseError

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "collated", "is_one_each", "main_output", "moved", "one_of"]

_OUTPUT_NAMES = ("logits", "output", "out", "prediction", "predictions")


@dataclass(frozen=True)
class Batch:
    """A batch of `n` examples on the host, whole and taken apart."""

    n: int
    whole: Any
    inputs: Any
    target: Any
    """None when the examples have none."""


def collated(
    items: list[Any],
    collate: Callable[[list[Any]], Any] | None,
    size: int,
    seed: int,
    target: Target = None,
) -> list[Batch]:
    """Make batches of at most `size` examples each.

    `collate` defaults to torch's own. It runs under the set's seed, so that a random one (masking,
    cropping) shows the same view at every step and in every run.
    """
    batches = []
    with randomness_kept():
        for start in range(0, len(items), size):
            part = items[start : start + size]
            seed_all(seed + start)
            whole = _stacked(part) if collate is None else collate(part)
            if callable(target):
                inputs, _ = inputs_and_target(whole)
                batches.append(Batch(len(part), whole, inputs, _stacked([*map(target, part)])))
            else:
                batches.append(Batch(len(part), whole, *inputs_and_target(whole, target)))
    return batches


def _stacked(part: list[Any]) -> Any:
    import torch.utils.data

    try:
        return torch.utils.data.default_collate([_vectors_as_tensors(item) for item in part])
    except (TypeError, RuntimeError, ValueError) as error:
        raise MisuseError(
            f"the chosen examples cannot be stacked into a batch ({error}); "
            "give choose() the collate= function of your DataLoader"
        ) from error


def _vectors_as_tensors(item: Any) -> Any:
    """Lists of numbers as tensors: torch's own stacking would turn them on their side."""
    import torch

    if is_vector(item):
        return torch.tensor(item)
    if isinstance(item, Mapping):
        return {name: _vectors_as_tensors(part) for name, part in item.items()}
    if isinstance(item, (tuple, list)) and not hasattr(item, "_fields"):
        return tuple(_vectors_as_tensors(part) for part in item)
    return item


def moved(value: Any, device: torch.device) -> Any:
    """Return a batch with all that can be moved on `device`; everything else as it is."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(device)

    def move(part: Any) -> Any:
        # also batch classes of other libraries, which are no torch tensors
        return part.to(device) if callable(getattr(part, "to", None)) else part

    return _mapped(value, move)


def one_of(value: Any, index: int, n: int) -> Any:
    """Return a batch of one: example `index` of a batch, or of an output, of `n` examples."""
    import torch

    def cut(part: Any) -> Any:
        if isinstance(part, torch.Tensor) and part.ndim and part.shape[0] == n:
            return part[index : index + 1]
        return part

    if is_one_each(value, n):
        return value[index : index + 1]
    return _mapped(value, cut)


def is_one_each(value: Any, n: int) -> bool:
    """Whether this is a list of `n` mappings of tensors, or tensors, one for each example.

    Detectors return such lists. A list of tensors that all have n entries is taken for a list of
    whole batches instead, as models with several heads return it.
    """
    import torch

    if not isinstance(value, list) or len(value) != n:
        return False
    if all(isinstance(each, Mapping) for each in value):
        return all(isinstance(part, torch.Tensor) for each in value for part in each.values())
    if not all(isinstance(each, torch.Tensor) for each in value):
        return False
    return not all(each.ndim and len(each) == n for each in value)


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Rebuild nested mappings, tuples and lists, with `change` on what they hold."""
    if isinstance(value, Mapping):
        changed = {name: _mapped(part, change) for name, part in value.items()}
        # transformers' outputs are mappings with attributes: keep their type
        return changed if type(value) is dict else type(value)(changed)  # type: ignore[call-arg]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(part, change) for part in value))
    if isinstance(value, (tuple, list)):
        return type(value)(_mapped(part, change) for part in value)
    return change(value)


def main_output(output: Any) -> Any:
    """The tensor that stands for a model's output: `logits`, else the first tensor; or None."""
    import torch

    if isinstance(output, torch.Tensor):
        return output
    for name in _OUTPUT_NAMES:
        part = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(part, torch.Tensor):
            return part
    parts = output.values() if isinstance(output, Mapping) else output
    if not isinstance(output, (Mapping, tuple, list)):
        return None
    return next((part for part in parts if isinstance(part, torch.Tensor)), None)
