"""The screens: runs, one run, help."""

from __future__ import annotations

__all__: list[str] = []
