"""A recorded run, as the rules that need no model look at it."""

from __future__ import annotations

import re
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from labbook.errors import LabbookError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader
    from labbook.checks.ledger import Ledger
    from labbook.compare import Ancestor
    from labbook.dynamics import Observed

__all__ = ["Recorded"]


class Recorded:
    """One run of a book; `book` for those rules that compare it with others."""

    def __init__(self, run: RunReader, book: Book | None = None) -> None:
        self.run = run
        self.book = book
        self._observed: dict[str, Observed | None] = {}

    def values(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(steps, values) of a series, finite or not, in order; both empty when it has none."""
        import numpy as np

        if name not in self.run.names():
            return np.empty(0, np.int64), np.empty(0)
        table = self.run.series(name).sort_by("step")
        steps = table["step"].to_numpy(zero_copy_only=False)
        values: np.ndarray = table["value"].to_numpy(zero_copy_only=False).astype(float)
        return steps, values

    @cached_property
    def loss_names(self) -> list[str]:
        """Series of the training loss: named loss, train_loss, train/loss and the like."""
        return [name for name in self.run.names() if _is_training_loss(name)]

    def is_held_out_loss(self, name: str) -> bool:
        """Whether a series is the loss of a held-out set: val_loss, loss/test."""
        words = _words(name)
        return bool(words & _HELD_OUT) and words - _FILLERS - _HELD_OUT == {"loss"}

    def finite(self, name: str) -> np.ndarray:
        """A series' finite values."""
        import numpy as np

        _, values = self.values(name)
        kept: np.ndarray = values[np.isfinite(values)]
        return kept

    @cached_property
    def main_losses(self) -> list[str]:
        """Those of them that are the loss itself, and no part of it (loss_kl, loss_d)."""
        return [name for name in self.loss_names if _words(name) - _FILLERS == {"loss"}]

    def observed(self, name: str) -> Observed | None:
        """A chosen set's recorded rows; None where they cannot be read."""
        from labbook import dynamics

        if name not in self._observed:
            try:
                self._observed[name] = dynamics.read(self.run, name)
            except LabbookError:
                self._observed[name] = None
        return self._observed[name]

    def classes_of(self, name: str) -> list[int]:
        """The classes of a chosen set's examples; empty where the targets are no integers."""
        import pyarrow as pa

        table = self.run.examples(name)
        if "target" not in table.column_names or not pa.types.is_integer(table["target"].type):
            return []
        return [value for value in table["target"].to_pylist() if value is not None]

    @cached_property
    def chosen_classes(self) -> list[int]:
        """Those of the first set that has any."""
        found = (self.classes_of(name) for name in self.run.chosen_sets())
        return next((classes for classes in found if classes), [])

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The run's arguments."""
        found = (self.run.conditions.get("arguments") or {}).get("values")
        return dict(found) if isinstance(found, dict) else {}

    @cached_property
    def ledger(self) -> Ledger:
        """The runs of the book. Raises `Cannot` without one."""
        from labbook.checks.ledger import ledger_of

        return ledger_of(self.book)

    @cached_property
    def ancestor(self) -> Ancestor | None:
        """This run in its line, with what changed since the one before; None without a book."""
        from labbook.compare import lineage

        if self.book is None or len(self.book.ids()) > _MOST_RUNS:
            return None
        return next(iter(lineage(self.book, self.run.id)), None)

    def followed(self, statistic: str) -> dict[str, np.ndarray]:
        """Tensor (or optimizer, or net) -> the finite values sampled of it, in order."""
        import numpy as np

        table = self._model
        if table is None:
            return {}
        is_wanted = table["statistic"].to_numpy(zero_copy_only=False) == statistic
        names = table["tensor"].to_numpy(zero_copy_only=False)[is_wanted]
        values = table["value"].to_numpy(zero_copy_only=False)[is_wanted].astype(float)
        good = np.isfinite(values)
        names, values = names[good], values[good]
        return {str(name): values[names == name] for name in dict.fromkeys(names)}

    @cached_property
    def _model(self) -> pa.Table | None:
        table = self.run.model()
        return table.sort_by("step") if table.num_rows else None

    def compared(self) -> list[str]:
        """Ids of the runs this one is compared with: its group, and the one it derives from."""
        group = self.run.identity.get("group")
        found = [
            row["id"]
            for row in self.ledger.rows
            if group and row["group"] == group and row["id"] != self.run.id
        ][:50]
        ancestor = self.ancestor
        if ancestor is not None and ancestor.derived_from is not None:
            found.append(ancestor.derived_from)
        return list(dict.fromkeys(found))

    @cached_property
    def set_digests(self) -> dict[str, str]:
        """Chosen and miniature sets by name -> digest of which examples they hold."""
        import json

        found = {}
        for name in self.run.chosen_sets():
            meta = (self.run.examples(name).schema.metadata or {}).get(b"labbook")
            digest = json.loads(meta).get("digest") if meta else None
            if digest:
                found[name] = str(digest)
        for record in self.run.facts.facts("data"):
            data = record.get("data")
            chosen = data.get("mini") if isinstance(data, dict) else None
            if isinstance(chosen, dict) and chosen.get("digest"):
                found[str(record.get("name"))] = str(chosen["digest"])
        return found

    @property
    def allowed(self) -> dict[str, str]:
        """What the project allowed when the run was started: rule -> reason."""
        found = (self.run.conditions.get("check") or {}).get("allow")
        return dict(found) if isinstance(found, dict) else {}

    @property
    def now_ns(self) -> int:
        """The time that counts for a run that still goes on."""
        return time.time_ns()


_MOST_RUNS = 300
"""In a larger book it takes more than a second to find the run that one was derived from."""

_FILLERS = {"train", "training", "step", "batch", "total", "running", "epoch", "mean", "avg"}
_HELD_OUT = {"val", "valid", "validation", "test", "eval", "dev", "heldout"}


def _words(name: str) -> set[str]:
    return set(re.split(r"[/._\-\s]+", name.lower()))


def _is_training_loss(name: str) -> bool:
    words = _words(name)
    return "loss" in words and not _HELD_OUT & words
