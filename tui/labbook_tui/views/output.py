"""Output: the end of what the program wrote, followed while it runs."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.cells import cell_len

from labbook_tui.lines import Line
from labbook_tui.models import OutputModel
from labbook_tui.palette import seg
from labbook_tui.shown import Shown
from labbook_tui.text import bytes_text, cut, plural
from labbook_tui.views.base import Scrolled

__all__ = ["OutputView"]


class OutputView(Scrolled):
    """The tail; it stays at the end unless scrolled up, G follows again."""

    KIND = "output"
    NAME = "Output"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("j k", "scroll"),
        ("g G", "first, follow"),
        ("/", "find"),
        ("n N", "next"),
        ("w", "wrap"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("g", "first line that is kept"),
        ("G", "the end, and follow it"),
        ("w", "wrap or cut long lines"),
        ("/", "find a text"),
        ("n N", "next, previous line that was found"),
        ("y", "copy the lines in sight"),
    ]
    FOLLOWS = True
    BINDINGS: ClassVar = [("w", "wrap", "wrap long lines")]

    def __init__(self) -> None:
        super().__init__()
        self.model: OutputModel | None = None
        self.follow = True
        self.wraps = True

    def accept(self, model: object) -> None:
        """Keep the model."""
        if isinstance(model, OutputModel):
            self.model = model

    def search(self, text: str) -> str:
        """Find lines, and say how often the text is in them."""
        said = super().search(text)
        if not self.found or self.model is None:
            return said
        times = sum(line.lower().count(self.found) for line in self.model.lines)
        return f"{plural(times, 'time')} in {plural(len(self.hits), 'line')}" if times else said

    def copied(self) -> str:
        """The lines in sight."""
        rows = self.rows(self.size.width)[self.top : self.top + self.size.height]
        return "\n".join("".join(part.text for part in row)[1:].rstrip() for row in rows)

    def shown(self) -> Shown | None:
        """All lines that are kept."""
        if self.model is None:
            return None
        return Shown("output", ("line",), [(line,) for line in self.model.lines])

    def remembered(self) -> dict[str, Any]:
        """Whether long lines are wrapped."""
        return {"wraps": self.wraps}

    def recall(self, memory: dict[str, Any]) -> None:
        """Take it up."""
        self.wraps = memory.get("wraps") is not False

    def action_wrap(self) -> None:
        """Wrap or cut long lines."""
        self.wraps = not self.wraps
        self.redraw()

    def rows(self, width: int) -> list[Line]:
        """The lines."""
        model = self.model
        if model is None:
            return self.waiting()
        if not model.lines:
            text = (
                f"the output {model.where}"
                if model.where.startswith("cannot")
                else ("nothing was written to stdout or stderr, or output was not recorded")
            )
            return self.note(text)
        lines: list[Line] = []
        if model.cut:
            lines.append(
                [seg(f" … the last 256 KiB of {bytes_text(model.size)}", self.ink.of("dim"))]
            )
        room = max(8, width - 2)
        for text in model.lines:
            if not self.wraps or cell_len(text) <= room:
                lines.append([seg(" " + cut(text, room))])
                continue
            lines += [[seg(" " + text[at : at + room])] for at in range(0, len(text), room)]
        return lines
