"""One pass over a loader, kept: what the rules on data look at.

Invariant: as delivered, in order, with the example's index in the dataset where one is known.
Bounded in examples, bytes and seconds; `is_whole` says whether the pass came to its end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from labbook.checks.batch import Batch, leaves
from labbook.checks.bench import Bench
from labbook.checks.origins import made_at
from labbook.checks.place import is_users, place_of
from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Pass",
    "class_labels",
    "given_x",
    "is_dense",
    "place_of_data",
    "place_of_loader",
    "train_pass",
    "val_pass",
]

EXAMPLES: Final = 10_000
BYTES: Final = 64 << 20
SECONDS: Final = 6.0
_DISTINCT: Final = 8


@dataclass(frozen=True)
class Pass:
    """Batches of one pass, and the dataset's index of each example (empty where not known)."""

    which: str
    batches: tuple[Batch, ...]
    noted: tuple[tuple[int, ...], ...]
    is_whole: bool

    @cached_property
    def n(self) -> int:
        """Examples."""
        return sum(batch.n for batch in self.batches)

    @cached_property
    def xs(self) -> list[Tensor]:
        """The main input of each batch, detached, on the host; `Cannot` where there is none."""
        found = [given_x(batch) for batch in self.batches]
        kept = [x.detach().cpu() for x in found if x is not None and x.numel()]
        if not kept:
            raise Cannot(f"{self.which} delivers no inputs that are tensors of numbers")
        return kept

    @cached_property
    def rows(self) -> Tensor:
        """The main input of all examples: (examples, values). Raises `Cannot` for ragged ones."""
        import torch

        parts = [x.reshape(len(x), -1) for x in self.xs if x.ndim]
        if not parts or len({(p.shape[1], p.dtype) for p in parts}) != 1:
            raise Cannot(f"inputs of {self.which} differ in shape from batch to batch")
        return torch.cat(parts)

    @cached_property
    def stacked(self) -> Tensor:
        """The same in their own shape: (examples, …)."""
        return self.rows.reshape(len(self.rows), *self.xs[0].shape[1:])

    @cached_property
    def targets(self) -> list[Tensor]:
        """The first target tensor of each batch, on the host; empty where one has none."""
        found = [next(leaves(batch.target), None) for batch in self.batches]
        known = [t.detach().cpu() for t in found if t is not None and is_dense(t)]
        return known if len(known) == len(found) else []

    @cached_property
    def is_self_supervised(self) -> bool:
        """Whether the target is the input itself."""
        return any(
            batch.target is batch.raw or batch.target is _lone(batch) for batch in self.batches
        )

    @cached_property
    def is_rich(self) -> bool:
        """Whether the median row has so many different values that it does not recur by chance."""
        import torch

        rows = torch.nan_to_num(self.rows[:64])
        distinct = sorted(len(torch.unique(row)) for row in rows)[len(rows) // 2]
        is_whole = not rows.is_floating_point() or bool((rows == rows.round()).all())
        return distinct >= (4 if is_whole else 1) * _DISTINCT

    def index(self, batch: int, row: int) -> str:
        """How to name an example: by its index in the dataset, else by its place."""
        if batch < len(self.noted) and row < len(self.noted[batch]):
            return f"example {self.noted[batch][row]}"
        return f"batch {batch} row {row}"

    @cached_property
    def names(self) -> list[str]:
        """Of each row of `rows`, how to name it."""
        return [self.index(b, r) for b, batch in enumerate(self.batches) for r in range(batch.n)]

    def named(self, places: Sequence[int], most: int = 6) -> str:
        """Some of them, in a line."""
        known = [self.names[i] for i in places[:most] if i < len(self.names)]
        if all(name.startswith("example ") for name in known):
            text = ", ".join(name.removeprefix("example ") for name in known)
            text = f"example{'s' if len(known) > 1 else ''} {text}"
        else:
            text = ", ".join(known)
        return text + (", …" if len(places) > most else "")


def _lone(batch: Batch) -> Any:
    return batch.args[0] if len(batch.args) == 1 else None


def train_pass(bench: Bench) -> Pass:
    """Of the training loader; `bench.shared` it."""
    return _read(bench, "loader")


def val_pass(bench: Bench) -> Pass:
    """Of the validation loader; `bench.shared` it."""
    return _read(bench, "val")


def _read(bench: Bench, which: str) -> Pass:
    kept: list[Batch] = []
    noted: list[list[int]] = []
    n = size = 0
    ends = time.monotonic() + SECONDS
    is_whole = True
    for batch in bench.stream(which, noted=noted):
        kept.append(batch)
        n += batch.n
        tensors = (*leaves(batch.inputs), *leaves(batch.target))
        size += sum(t.nbytes for t in tensors if is_dense(t))
        if n >= EXAMPLES or size >= BYTES or time.monotonic() > ends or len(kept) >= EXAMPLES:
            is_whole = _has_no_more(bench, which, n)
            break
    if not kept:
        raise Cannot(f"{which} delivered no batch")
    is_known = len(noted) >= len(kept) and all(
        len(indices) == batch.n for indices, batch in zip(noted, kept, strict=False)
    )
    known = tuple(tuple(indices) for indices in noted[: len(kept)]) if is_known else ()
    return Pass(which, tuple(kept), known, is_whole)


def _has_no_more(bench: Bench, which: str, n: int) -> bool:
    dataset = getattr(getattr(bench.subject, which), "dataset", None)
    try:
        return dataset is not None and len(dataset) <= n
    except (TypeError, NotImplementedError):
        return False


def given_x(batch: Batch) -> Tensor | None:
    """The main input: the first tensor of floats with more than one number an example, else `x`."""
    dense = [t for t in batch.inputs if is_dense(t) and not t.is_complex()]
    found = [t for t in dense if t.ndim > 1]
    floats = [t for t in found if t.is_floating_point()]
    every = floats or found or [t for t in dense if t.ndim == 1]
    return every[0] if every else None


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor's memory is an array: neither sparse nor nested."""
    import torch

    return tensor.layout is torch.strided and not tensor.is_nested


def class_labels(seen: Pass) -> Tensor | None:
    """One class an example, as integers (examples,); None where targets are no class labels.

    Integers or booleans of shape (N,) or (N, 1), zeros and ones likewise, or one-hot rows.
    """
    import torch

    parts = seen.targets
    if not parts or any(t.ndim == 0 for t in parts) or len({t.shape[1:] for t in parts}) != 1:
        return None
    whole = torch.cat(parts)
    if len(whole) != seen.n or not len(whole):
        return None
    if whole.ndim == 2 and whole.shape[1] > 1:
        return _of_one_hot(whole)
    if whole.numel() != len(whole):
        return None
    flat = whole.reshape(-1)
    if flat.is_floating_point():
        return flat.long() if bool(((flat == 0) | (flat == 1)).all()) else None
    flat = flat.long()
    n_classes = len(torch.unique(flat))
    return flat if n_classes <= max(2, len(flat) // 4) else None


def _of_one_hot(whole: Tensor) -> Tensor | None:
    is_binary = bool(((whole == 0) | (whole == 1)).all())
    return whole.argmax(1) if is_binary and bool((whole.sum(1) == 1).all()) else None


def place_of_data(bench: Bench, which: str) -> str:
    """What to change in the data: the user's dataset class, else where the dataset is made.

    Where nothing says, the loader by the name that the subject gives it.
    """
    loader = getattr(bench.subject, which)
    dataset = getattr(loader, "dataset", loader)
    lines = [made_at(loader)]
    while hasattr(dataset, "dataset"):  # Subset and the like
        lines.append(made_at(dataset))
        dataset = dataset.dataset
    lines.append(made_at(dataset))
    module = sys.modules.get(type(dataset).__module__)
    file = getattr(module, "__file__", None)
    if file is not None and is_users(file):
        return place_of(type(dataset))
    seen = next((line for line in reversed(lines) if line), "")
    return seen or f"{which}= ({type(loader).__name__} of {type(dataset).__name__})"


def place_of_loader(bench: Bench, which: str) -> str:
    """What to change in how it is read: where the loader is made, else as `place_of_data`."""
    return made_at(getattr(bench.subject, which)) or place_of_data(bench, which)
