"""This machine now: its GPUs, processors, memory and disks, and the live runs on it."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from labbook_tui.screens.base import BaseScreen

__all__ = ["HostScreen"]


class HostScreen(BaseScreen):
    """The machine that this program runs on."""

    NAME = "machine"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace", "app.pop_screen", "back")]
