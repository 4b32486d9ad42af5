"""One run, and the journals of its attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labbook.book.runreader import RunReader
from labbook.journal.writer import JournalWriter
from labbook.paths import BookPaths
from tests.book.making import Run


class Set(Run):
    """A run whose journals stay open until it is read."""

    def __init__(self, book: BookPaths, run_id: str) -> None:
        super().__init__(book, run_id)
        self.writers: list[JournalWriter] = []

    def attempt(self, number: int = 1, **conditions: Any) -> JournalWriter:
        writer = f"r0-{number:06d}"
        self.process(writer, number, **conditions)
        self.writers.append(self.journal(writer))
        return self.writers[-1]

    def read(self) -> RunReader:
        for writer in self.writers:
            writer.close()
        return super().read()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[], Set]]:
    root = tmp_path / ".labbook"
    root.mkdir()
    (root / "book.json").write_text('{"format": 1}')
    made: list[Set] = []

    def build() -> Set:
        made.append(Set(BookPaths(root), f"20260101-000000-aaa{len(made):03d}"))
        return made[-1]

    yield build
    for one in made:
        for writer in one.writers:
            writer.close()
