"""One empty book, and a way to put runs into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labbook.book.reading import Book
from labbook.paths import BookPaths
from tests.book.making import Run


@pytest.fixture
def paths(tmp_path: Path) -> BookPaths:
    root = tmp_path / ".labbook"
    root.mkdir()
    (root / "book.json").write_text('{"format": 1}')
    return BookPaths(root)


@pytest.fixture
def book(paths: BookPaths) -> Book:
    return Book(paths)


@pytest.fixture
def make(paths: BookPaths) -> Callable[..., Run]:
    count = iter(range(1000))

    def build(run_id: str | None = None, **identity: Any) -> Run:
        return Run(paths, run_id or f"20260101-000000-aaa{next(count):03d}", **identity)

    return build
