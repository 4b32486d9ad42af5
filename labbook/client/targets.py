"""The targets of a whole dataset, without reading its inputs where that can be avoided.

Columns, `TensorDataset`, Hugging Face columns, `Subset` and `ConcatDataset` of these, and the
attributes `targets` and `labels` (torchvision) are taken as they are. Anything else is read example
by example, for `READ_SECONDS` at most.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from labbook.client.dataset import Source, is_array, is_tensor, source_of
from labbook.client.parts import TARGET_NAMES, Target, inputs_and_target
from labbook.client.undisturbed import randomness_kept
from labbook.conditions.limits import Deadline
from labbook.errors import MisuseError

__all__ = ["READ_SECONDS", "TooSlow", "plain_targets", "read_bounded", "targets_of"]

READ_SECONDS: Final = 10.0
"""Reading examples only to choose among them takes no longer."""


class TooSlow(Exception):
    """A dataset that could not be read in time."""

    def __init__(self, n_read: int, n: int, seconds: float) -> None:
        super().__init__(f"only {n_read:,} of {n:,} examples could be read in {seconds:g} s")


def targets_of(source: Source, target: Target, seed: int) -> list[Any]:
    """Return the target of every example: numbers or text.

    Raises `TooSlow`, and `MisuseError` when a target is neither, or there is none.
    """
    found = None if callable(target) else _cheap(source.data, target)
    if found is not None and len(found) == source.length:
        return plain_targets(found)
    every = range(source.length or 0)
    return read_bounded(source, every, seed, lambda e: _plain(inputs_and_target(e, target)[1]))


def read_bounded(
    source: Source, indices: Sequence[int], seed: int, take: Callable[[Any], Any]
) -> list[Any]:
    """Read these examples, of each what `take` makes of it.

    Raises `TooSlow` when `READ_SECONDS` are over.
    """
    deadline = Deadline(READ_SECONDS)
    taken: list[Any] = []
    with randomness_kept():
        for index in indices:
            if deadline.passed():
                raise TooSlow(len(taken), len(indices), READ_SECONDS)
            taken.append(take(source.read(index, seed)))
    return taken


def plain_targets(found: Any) -> list[Any]:
    """Targets as bool, int, float or str; raises `MisuseError` for anything else."""
    if is_tensor(found) or is_array(found):
        if found.ndim == 2 and found.shape[1] == 1:
            found = found.reshape(-1)
        if found.ndim != 1:
            raise _not_one(f"an array {tuple(found.shape[1:])}")
        listed: list[Any] = found.tolist()
        return listed
    return [_plain(value) for value in found]


def _plain(value: Any) -> Any:
    if is_tensor(value) or is_array(value):
        size = value.numel() if is_tensor(value) else value.size
        if size != 1:
            raise _not_one(f"an array {tuple(value.shape)}")
        value = value.item()
    if value is None:
        raise MisuseError(
            'choose(by="stratified") needs a target for each example, and they have none: '
            "choose(target=…) names it, or pass by='random'"
        )
    if not isinstance(value, (bool, int, float, str)):
        raise _not_one(f"a {type(value).__name__}")
    return value


def _not_one(what: str) -> MisuseError:
    return MisuseError(
        'choose(by="stratified") wants one number or one text an example as its target, got '
        f"{what}; choose(target=lambda example: …) can make one"
    )


def _cheap(data: Any, target: Target) -> Any:
    """All targets of data that has them at hand; None when it has not."""
    tensors = getattr(data, "tensors", None)
    if isinstance(tensors, tuple):
        return inputs_and_target(tensors, target)[1]
    if isinstance(data, (tuple, Mapping)):
        return inputs_and_target(data, target)[1]
    nested = _nested(data, target)
    if nested is not None:
        return nested
    if isinstance(getattr(data, "column_names", None), list):
        return _hugging_face(data, target)
    if target is None:
        for name in ("targets", "labels"):
            found = getattr(data, name, None)
            if is_tensor(found) or is_array(found) or isinstance(found, (list, tuple)):
                return found
    return None


def _nested(data: Any, target: Target) -> list[Any] | None:
    """Targets of a part, or of a row, of other datasets."""
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is None:
        return None
    if isinstance(data, torch_data.Subset):
        whole = _all_of(data.dataset, target)
        return None if whole is None else [whole[index] for index in data.indices]
    if isinstance(data, torch_data.ConcatDataset):
        parts = [_all_of(part, target) for part in data.datasets]
        return None if None in parts else [one for part in parts for one in part or ()]
    return None


def _all_of(data: Any, target: Target) -> list[Any] | None:
    found = _cheap(data, target)
    if found is None or len(found) != source_of(data).length:
        return None
    return plain_targets(found)


def _hugging_face(data: Any, target: Target) -> Any:
    """A column of a Hugging Face dataset, as it lies in its table."""
    if isinstance(target, int) or getattr(data, "format", {}).get("type") == "custom":
        return None  # positions, and what a transform makes of it, only the examples know
    name = target or next((key for key in TARGET_NAMES if key in data.column_names), None)
    if name not in data.column_names:
        return None
    return list(data.with_format(None)[name])
