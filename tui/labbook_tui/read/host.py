"""This machine now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labbook_tui.models import HostModel, Want

if TYPE_CHECKING:
    from labbook.book.reading import Book

__all__ = ["build"]


def build(book: Book, want: Want, before: object) -> HostModel:
    """Always anew: the machine does not say when it changes. Takes half a second."""
    from labbook.upkeep.host_now import host_now

    return HostModel(host_now(book))
