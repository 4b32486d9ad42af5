"""The input of an example beside a table of results, where a chosen set holds it."""

from __future__ import annotations

from labbook_tui.example_input import input_lines
from labbook_tui.lines import Line, Lines
from labbook_tui.models import Example
from labbook_tui.palette import seg
from labbook_tui.text import folded

__all__ = ["InputPane"]


class InputPane(Lines):
    """The input of the example under the cursor, where it is known, and its long texts."""

    DEFAULT_CSS = "InputPane { width: 30; }"

    def __init__(self) -> None:
        super().__init__(id="input")
        self.example: Example | None = None
        self.texts: list[tuple[str, str]] = []

    def show(self, example: Example | None, texts: list[tuple[str, str]]) -> None:
        """Another example."""
        self.example, self.texts = example, texts
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """Picture or text, then whatever else is long."""
        ink, example = self.ink, self.example
        lines: list[Line] = []
        if example is not None:
            lines += input_lines(example, width - 2, min(14, height // 2), ink)
        if not lines:
            words = "the input is not known: only examples of a chosen set of this data are kept"
            lines += [[seg(part, ink.of("dim"))] for part in folded(words, width - 2, 5)]
        for name, text in self.texts:
            lines += [[], [seg(name, ink.of("dim"))]]
            lines += [[seg(part)] for part in folded(text, width - 2, 8)]
        return [[seg(f"{ink.glyphs.side} ", ink.of("faint")), *line] for line in lines]
