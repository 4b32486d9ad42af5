"""Marked runs on one axis, what changed between them, and whether the difference is real."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from labbook_tui.screens.base import BaseScreen

__all__ = ["CompareScreen"]


class CompareScreen(BaseScreen):
    """The comparison of the marked runs."""

    NAME = "compare"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace", "app.pop_screen", "back")]
