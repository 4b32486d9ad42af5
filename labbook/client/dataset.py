"""One way to read any data that holds examples: by index, without disturbing the program.

Understood: map-style datasets (torch, Hugging Face, anything with a length and `[i]`), lists,
tensors and arrays (the first axis counts examples), a tuple or mapping of those with equal
lengths (columns), a DataLoader (its dataset is read, not its batches), and iterables, of which
the first n are taken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from labbook.client.undisturbed import randomness_kept, seed_all
from labbook.errors import MisuseError

__all__ = ["Examples", "Source", "is_array", "is_tensor", "read_examples", "source_of"]


@dataclass(frozen=True)
class Source:
    """Data that holds examples, and how to read them."""

    data: Any
    length: int | None
    """None when it does not say."""
    item_at: Callable[[int], Any] | None
    """None where it can only be iterated."""
    collate: Callable[[list[Any]], Any] | None = None
    """A DataLoader's own collate function."""

    def read(self, index: int, seed: int) -> Any:
        """Read one example, its random transforms seeded; within `randomness_kept` only."""
        seed_all(seed + index)
        try:
            return self.item_at(index) if self.item_at is not None else None
        except Exception as error:
            error.add_note(f"labbook: while choose() read example {index} of {self.what}")
            raise

    @property
    def what(self) -> str:
        """Its type, for messages."""
        return _what(self.data)


@dataclass(frozen=True)
class Examples:
    """The chosen examples as the dataset gives them, in ascending or given order."""

    indices: list[int]
    items: list[Any]
    length: int | None
    """Of the whole data; None when it does not say."""


def is_tensor(value: object) -> bool:
    """Whether this is a torch tensor; imports nothing."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_array(value: object) -> bool:
    """Whether this is a numpy array or scalar; imports nothing."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def source_of(dataset: Any) -> Source:
    """Say how to read this data; raises `MisuseError` for what holds no examples."""
    collate = None
    if _is_loader(dataset):
        dataset, collate = dataset.dataset, dataset.collate_fn
    return Source(dataset, *_access(dataset), collate)


def read_examples(source: Source, indices: Sequence[int] | None, n: int, seed: int) -> Examples:
    """Read these examples, or the first `n`.

    Random transforms of the dataset are seeded for each example, so that every run sees the same
    view of it; all global generators are as before when this returns.
    """
    with randomness_kept():
        if source.item_at is None:
            found, items = _first(source.data, indices, n, seed)
        else:
            found = list(range(min(n, source.length or n)) if indices is None else indices)
            items = [source.read(index, seed) for index in found]
    if not items:
        raise MisuseError(f"choose() found no examples in {source.what}")
    return Examples(found, items, source.length)


def _is_loader(dataset: Any) -> bool:
    torch_data = sys.modules.get("torch.utils.data")
    return torch_data is not None and isinstance(dataset, torch_data.DataLoader)


def _access(dataset: Any) -> tuple[int | None, Callable[[int], Any] | None]:
    """Length and reader by index; a reader of None means the data can only be iterated."""
    if isinstance(dataset, (str, bytes)):
        raise MisuseError(f"choose() wants a dataset of examples, got {_what(dataset)}")
    if isinstance(dataset, (tuple, Mapping)):
        columns = _columns(dataset)
        if columns is not None:
            return columns
    if isinstance(dataset, Mapping):
        raise MisuseError(
            "choose() got a mapping that is not columns of equal length; pass a dataset, or a "
            "mapping of tensors, arrays or lists that all have one entry an example"
        )
    item_at = getattr(dataset, "__getitem__", None)
    try:
        length = len(dataset)
    except TypeError:
        length = None
    if item_at is not None and length is not None:
        return length, item_at
    if _is_used_up(dataset):
        raise MisuseError(
            f"choose() would use up {_what(dataset)}, which can be read only once; pass the "
            "dataset itself or a list of examples"
        )
    return length, None


def _is_used_up(dataset: Any) -> bool:
    """Whether reading this takes examples away from the program."""
    if not isinstance(dataset, Iterable):
        raise MisuseError(
            f"choose() cannot read {_what(dataset)}: it has neither a length and [i], nor iter()"
        )
    return isinstance(dataset, Iterator)


def _columns(dataset: Any) -> tuple[int, Callable[[int], Any]] | None:
    values = list(dataset.values()) if isinstance(dataset, Mapping) else list(dataset)
    long = isinstance(dataset, Mapping)
    if not values or not all(_is_column(value, lists=long) for value in values):
        return None
    lengths = {len(value) for value in values}
    if len(lengths) != 1:
        raise MisuseError(
            f"choose() got columns of different lengths: {sorted(lengths)}; "
            "each needs one entry an example"
        )
    if isinstance(dataset, Mapping):
        return lengths.pop(), lambda i: {name: column[i] for name, column in dataset.items()}
    return lengths.pop(), lambda i: tuple(column[i] for column in values)


def _is_column(value: Any, *, lists: bool) -> bool:
    if is_tensor(value) or is_array(value):
        return bool(value.ndim)
    return lists and isinstance(value, (list, tuple))


def _first(
    dataset: Any, wanted: Sequence[int] | None, n: int, seed: int
) -> tuple[list[int], list[Any]]:
    """Read the first examples of something that can only be iterated."""
    stop = n if wanted is None else max(wanted) + 1
    seed_all(seed)
    items = list(islice(iter(dataset), stop))
    if wanted is None:
        return list(range(len(items))), items
    if len(items) < stop:
        raise MisuseError(
            f"choose(by=…) names example {stop - 1}, but {_what(dataset)} ends after {len(items)}"
        )
    return list(wanted), [items[index] for index in wanted]


def _what(dataset: Any) -> str:
    return f"a {type(dataset).__qualname__}"
