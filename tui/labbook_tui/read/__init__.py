"""From a book to models: the reader thread's side. Only this package touches files and Arrow."""

from __future__ import annotations

__all__: list[str] = []
