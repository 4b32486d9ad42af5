"""What the parts of the client need of the run's journal: calls that never raise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

__all__ = ["Recorder"]


class Recorder(Protocol):
    """The journal writer (`labbook.journal.writer.JournalWriter`), as the client's parts see it."""

    def row(
        self, table: str, names: tuple[str, ...], values: Iterable[float | None], step: int | None
    ) -> None:
        """Write one row of numbers; None is null."""

    def event(self, kind: str, text: str, step: int | None = None, **fields: Any) -> None:
        """Write one event; `fields` are JSON values."""

    def array(
        self,
        header: dict[str, Any],
        parts: Iterable[bytes | memoryview],
        step: int | None,
        time_ns: int | None = None,
    ) -> None:
        """Write arrays: a header that describes the columns, and their bytes one after another."""

    def fault(self, kind: str, line: str) -> None:
        """Count what went wrong on our side; tell the user the first of each kind."""
