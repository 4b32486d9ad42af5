"""A recorded run, as the rules that need no model look at it."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader

__all__ = ["Recorded"]


class Recorded:
    """One run of a book; `book` for those rules that compare it with others."""

    def __init__(self, run: RunReader, book: Book | None = None) -> None:
        self.run = run
        self.book = book

    def values(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(steps, values) of a series, finite or not, in order; both empty when it has none."""
        import numpy as np

        if name not in self.run.names():
            return np.empty(0, np.int64), np.empty(0)
        table = self.run.series(name).sort_by("step")
        steps = table["step"].to_numpy(zero_copy_only=False)
        return steps, table["value"].to_numpy(zero_copy_only=False).astype(float)

    @cached_property
    def loss_names(self) -> list[str]:
        """Series of the training loss: named loss, train_loss, train/loss and the like."""
        return [name for name in self.run.names() if _is_training_loss(name)]

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The run's arguments."""
        found: dict[str, Any] = self.run.conditions.get("arguments") or {}
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


def _is_training_loss(name: str) -> bool:
    words = name.lower().replace("/", "_").replace(".", "_").replace("-", "_").split("_")
    return "loss" in words and not {"val", "valid", "validation", "test", "eval"} & set(words)
