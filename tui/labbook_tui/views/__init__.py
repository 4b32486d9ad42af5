"""The views of one run, each a widget of its own."""

from __future__ import annotations

__all__: list[str] = []
