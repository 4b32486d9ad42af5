"""The base of every widget here: lines drawn by a function, and only changed lines repainted.

Invariant: `draw` is called for the whole widget, but a line whose segments are equal to those on
screen is never sent again; with it a live dashboard stays under a kilobyte a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from labbook_tui.palette import Ink, seg

if TYPE_CHECKING:
    from textual import events

__all__ = ["Line", "Lines", "beside", "blank", "clip", "fit", "rule", "under", "width_of"]

Line = list[Segment]

_PLAIN = str.maketrans("→←↑↓–…›×Δ", "><^v-~>xd")
"""For fonts without symbols: each takes one cell as before."""


def width_of(line: Line) -> int:
    """Cells a line takes."""
    return sum(cell_len(segment.text) for segment in line)


def fit(line: Line, width: int, style: Style | None = None) -> Line:
    """A line cut or filled to exactly `width` cells; `style` is laid under all of it."""
    out = Segment.adjust_line_length(line, width, Style.null())
    if style is not None:
        out = [Segment(part.text, style + (part.style or Style.null())) for part in out]
    return out


def clip(line: Line, width: int) -> Line:
    """The line in at most `width` cells, with a `…` at its end where something was left out."""
    if width_of(line) <= width:
        return line
    kept = Segment.adjust_line_length(line, max(0, width - 1), Style.null())
    return [*kept, Segment("…", kept[-1].style if kept else None)][: max(0, width)]


def under(line: Line, style: Style) -> Line:
    """The line with `style` laid over every segment; reverse video is of one colour."""
    styles = [part.style or Style.null() for part in line]
    if style.reverse:
        styles = [own.without_color for own in styles]
    return [Segment(part.text, own + style) for part, own in zip(line, styles, strict=True)]


def blank(width: int) -> Line:
    """A line of spaces."""
    return [seg(" " * width)]


def beside(left: Sequence[Line], right: Sequence[Line], width: int, gap: Line) -> list[Line]:
    """Two blocks side by side; `width` is the left block's, `gap` stands between them."""
    height = max(len(left), len(right))
    out: list[Line] = []
    for row in range(height):
        first = fit(left[row], width) if row < len(left) else blank(width)
        out.append(first + gap + (right[row] if row < len(right) else []))
    return out


def rule(title: Line, width: int, ink: Ink) -> Line:
    """A horizontal rule with a title standing in it."""
    dash = ink.glyphs.rule
    faint = ink.of("faint")
    if not title:
        return [seg(dash * width, faint)]
    used = width_of(title) + 4
    return fit(
        [seg(dash + " ", faint), *title, seg(" " + dash * max(1, width - used + 1), faint)], width
    )


class Lines(Widget):
    """A widget whose lines are drawn by `draw`; call `redraw()` when its data changed."""

    DEFAULT_CSS = "Lines { width: 1fr; height: 1fr; }"

    def __init__(
        self, *, name: str | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._strips: list[Strip] = []
        self._drawn_for: tuple[int, int] = (-1, -1)

    @property
    def ink(self) -> Ink:
        """The app's styles."""
        ink = getattr(self.app, "ink", None)
        return ink if isinstance(ink, Ink) else Ink()

    def draw(self, width: int, height: int) -> list[Line]:
        """Lines from the top, each at most `width` cells; missing ones are blank."""
        return []

    def redraw(self) -> None:
        """Draw again and repaint the lines that differ from those on screen."""
        width, height = self.size
        if not width or not height or not self.is_attached:
            self._drawn_for = (-1, -1)
            return
        old = self._strips if self._drawn_for == (width, height) else []
        self._strips = self._draw_strips(width, height)
        self._drawn_for = (width, height)
        if not old:
            self.refresh()
            return
        for row, (before, after) in enumerate(zip(old, self._strips, strict=False)):
            if before != after:
                self.refresh(Region(0, row, width, 1))

    def _draw_strips(self, width: int, height: int) -> list[Strip]:
        lines = self.draw(width, height)[:height]
        lines += [[] for _ in range(height - len(lines))]
        if not self.ink.glyphs.braille:
            lines = [[seg(s.text.translate(_PLAIN), s.style) for s in line] for line in lines]
        return [Strip(fit(line, width, self.ink.ground), width) for line in lines]

    def render_line(self, y: int) -> Strip:
        """One line of the widget (Textual's line API)."""
        width, height = self.size
        if self._drawn_for != (width, height):
            self._strips = self._draw_strips(width, height)
            self._drawn_for = (width, height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(width)

    def on_resize(self, event: events.Resize) -> None:
        """Draw for the new size."""
        self.redraw()
