"""From what `data()` returned to batches: expected ids, the mini set, collation, the device."""

from __future__ import annotations

import hashlib
import operator
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset, TensorDataset, default_collate

from labbook.errors import EvaluationError

__all__ = ["Examples", "mini_ids", "move", "split_data"]

_MINI_SEED = 20_220_601  # any constant: the mini set is the same for every run and every host
_FINGERPRINT_ITEMS = 64


class Examples:
    """A map-style dataset and the id of each of its items, in order."""

    def __init__(self, ids: Sequence[int], dataset: Any) -> None:
        self.ids = [operator.index(each) for each in ids]
        self.dataset = dataset
        if len(set(self.ids)) != len(self.ids):
            raise EvaluationError("data(): the ids are not unique; each example needs its own")
        self._place = None if self.ids == list(range(len(self.ids))) else self._by_id()
        self._take = _fast_take(dataset)

    def _by_id(self) -> dict[int, int]:
        return {each: place for place, each in enumerate(self.ids)}

    def places(self, ids: Sequence[int]) -> list[int]:
        """Where the examples with these ids stand in the dataset."""
        return list(ids) if self._place is None else [self._place[each] for each in ids]

    def batches(
        self, ids: Sequence[int], size: int, collate: Callable[[list[Any]], Any] | None
    ) -> Iterator[tuple[list[int], Any]]:
        """(ids, batch) over `ids` in order, `size` at a time; the last one may be smaller."""
        for start in range(0, len(ids), size):
            chosen = list(ids[start : start + size])
            places = self.places(chosen)
            if self._take is not None and collate is None:
                yield chosen, self._take(places)
            else:
                yield chosen, (collate or default_collate)(_items(self.dataset, places))

    def fingerprint(self) -> str:
        """Digest of the ids and of the content of items spread over the whole set."""
        whole = hashlib.sha256(np.asarray(self.ids, dtype=np.int64).tobytes())
        count = len(self.ids)
        step = max(1, count // _FINGERPRINT_ITEMS)
        for place in range(0, count, step):
            _feed(whole, self.dataset[place])
        return f"sha256:{whole.hexdigest()}"


def split_data(found: Any) -> Examples:
    """What `data()` returned: a map-style dataset, or `(ids, dataset)`."""
    if isinstance(found, tuple) and len(found) == 2 and hasattr(found[1], "__getitem__"):
        ids, dataset = found
        ids = [int(each) for each in ids]
        if hasattr(dataset, "__len__") and len(dataset) != len(ids):
            raise EvaluationError(f"data(): {len(ids)} ids for {len(dataset)} examples")
    else:
        dataset = found
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise EvaluationError(
                f"data() returned a {type(found).__name__}: return a dataset with len() and "
                "indexing, or (ids, dataset); for anything else write batches(context)"
            )
        ids = list(range(len(dataset)))
    if not ids:
        raise EvaluationError("data() returned no examples")
    return Examples(ids, dataset)


def mini_ids(ids: Sequence[int], count: int) -> list[int]:
    """The fixed subset of `count` ids; all of them when there are fewer."""
    if count >= len(ids):
        return list(ids)
    chosen = set(random.Random(_MINI_SEED).sample(sorted(ids), count))
    return [each for each in ids if each in chosen]


def move(batch: Any, device: torch.device) -> Any:
    """A batch with every tensor in it on `device`."""
    if isinstance(batch, torch.Tensor):
        return batch if batch.device == device else batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {name: move(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(move(value, device) for value in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(move(value, device) for value in batch)
    if hasattr(batch, "to") and not isinstance(batch, str | bytes):
        return batch.to(device)  # BatchEncoding, PyG batches and their like
    return batch


def _fast_take(dataset: Any) -> Callable[[list[int]], Any] | None:
    """Indexing whole tensors at once, where that gives what collating the items would."""
    if type(dataset) is TensorDataset:
        tensors = dataset.tensors
        return lambda places: [tensor[_span(places)] for tensor in tensors]
    if type(dataset) is Subset:
        inner, places_of = _fast_take(dataset.dataset), dataset.indices
        if inner is not None:
            return lambda places: inner([places_of[place] for place in places])
    return None


def _span(places: list[int]) -> Any:
    """A slice where the places are consecutive: a view instead of a copy."""
    if places and places[-1] - places[0] + 1 == len(places) and places == sorted(places):
        return slice(places[0], places[-1] + 1)
    return torch.as_tensor(places)


def _items(dataset: Any, places: list[int]) -> list[Any]:
    if hasattr(dataset, "__getitems__"):
        return list(dataset.__getitems__(places))
    return [dataset[place] for place in places]


def _feed(whole: hashlib._Hash, item: Any) -> None:
    if isinstance(item, torch.Tensor):
        item = item.detach().cpu()
        item = item.float().numpy() if item.dtype == torch.bfloat16 else item.numpy()
    if isinstance(item, np.ndarray) and item.dtype != object:
        whole.update(f"{item.dtype}{item.shape}".encode())
        whole.update(np.ascontiguousarray(item).tobytes())
    elif isinstance(item, Mapping):
        for name in sorted(map(str, item)):
            whole.update(name.encode())
            _feed(whole, item[name])
    elif isinstance(item, tuple | list):
        for each in item:
            _feed(whole, each)
    elif isinstance(item, str | bytes | int | float | bool | np.generic):
        whole.update(repr(item).encode())
    else:
        whole.update(type(item).__name__.encode())
