"""`LABBOOK_MODE=off`: nothing is recorded, nothing heavy is imported, and the program still works.

What a program depends on keeps doing its job: `args` are found, `save` saves, chosen sets can be
observed (to no effect).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import logging

    from labbook.client.advice import Advice

__all__ = ["OffRun"]


class OffRun:
    """Has the methods of `Run`; those that record do nothing."""

    def __init__(self, args: Any, name: str | None = None) -> None:
        self.id = "off"
        self.name = name or "off"
        self.args = args
        self.finished = False
        self.faults: dict[str, int] = {}

    def log(self, metrics: Any = None, /, *, step: int | None = None, **more: Any) -> None:
        """Record nothing."""

    def event(self, text: str, **fields: Any) -> None:
        """Record nothing."""

    def axis(self, name: str) -> None:
        """Record nothing."""

    def data(self, name: str, source: Any, **how: Any) -> None:
        """Read and record nothing."""

    def inspect(self, model: Any, loss: Any = None, **how: Any) -> OffInspection:
        """Look at nothing."""
        return OffInspection()

    def loader(self, loader: Any, *, name: str = "train") -> Any:
        """Return the loader as it is."""
        return loader

    def logging_handler(self, level: int | str = 0) -> logging.Handler:
        """Return a handler that records nothing."""
        import logging

        return logging.NullHandler(level)

    def follow(self, model: Any, optimizer: Any = None, **how: Any) -> None:
        """Hang no hook in, and record nothing."""

    def watch(self, pattern: str | os.PathLike[str]) -> None:
        """Record nothing."""

    def advice(self, metric: str, **how: Any) -> Advice:
        """Never advise to stop: nothing is known. Wrong questions raise as they would."""
        from labbook.client.advice import Advice, check

        check(metric, **how)
        return Advice(False, "nothing is recorded (LABBOOK_MODE=off)")

    def finish(self) -> None:
        """End nothing."""
        self.finished = True

    def series(self, name: str) -> Callable[..., None]:
        """Return a handle that records nothing."""
        return _nothing

    def choose(self, dataset: Any, n: int = 64, **options: Any) -> OffChosen:
        """Return a set whose `observe` and `record` do nothing."""
        return OffChosen(str(options.get("name", "chosen")))

    def save(self, obj: Any, *, step: int | None = None, name: str | None = None) -> Path:
        """Save with `torch.save`, into a temporary folder: the program may read it back."""
        import tempfile

        from labbook.client.checkpoints import write_atomically

        folder = Path(tempfile.mkdtemp(prefix="labbook-off-"))
        path = folder / (name or f"step-{0 if step is None else step}.pt")
        write_atomically(path, obj)
        return path

    def __enter__(self) -> OffRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        self.finish()
        return False


class OffChosen:
    """A chosen set that reads no data and records nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.indices: tuple[int, ...] = ()
        self.length: int | None = None
        self.digest: str | None = None
        self.seed = 0
        self.skipped = 0

    def __len__(self) -> int:
        return 0

    def observe(self, model: Any, loss: Any = None, step: int | None = None, **how: Any) -> bool:
        """Record nothing."""
        return False

    def record(self, step: int | None = None, **columns: Any) -> None:
        """Record nothing."""


class OffInspection:
    """Has no hook on anything."""

    def close(self, timeout_s: float = 1.0) -> None:
        """End nothing."""


def _nothing(value: Any, step: int | None = None) -> None:
    return
