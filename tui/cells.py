"""A screen of the app as an SVG that looks the same with every font.

Blocks, braille and lines are drawn, not set: a viewer's font may have none of them, or of another
width. What is left is text, kept to its cells by `textLength`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from textual.strip import Strip

__all__ = ["svg_of"]

WIDE, HIGH = 10, 20
"""A cell; a braille cell then has its dots five apart in both directions."""
MARGIN = 14
LEFT_BLOCKS = {sign: 8 - n for n, sign in enumerate("█▉▊▋▌▍▎▏")}
LOWER_BLOCKS = {sign: n + 1 for n, sign in enumerate("▁▂▃▄▅▆▇")}
SHADES = {"░": 0.25, "▒": 0.5, "▓": 0.75}
LINES = {"─": "LR", "│": "UD", "┤": "UDL", "┬": "LRD", "└": "UR", "▕": "UD"}
ARMS = {"L": "h-5.5", "R": "h5.5", "U": "v-10", "D": "v10"}
BRAILLE = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""(column, row) of the dots by their bits, from U+2800 on."""


@dataclass(frozen=True)
class Look:
    """What a cell is drawn with; colours as `#rrggbb`."""

    ink: str
    ground: str
    is_bold: bool = False
    is_underlined: bool = False


class Drawing:
    """Shapes by colour, each colour one path."""

    def __init__(self, ink: str, ground: str, size: tuple[int, int]) -> None:
        self.plain = Look(ink, ground)
        self.size = size
        self.areas: dict[tuple[str, float], list[str]] = defaultdict(list)
        self.lines: dict[str, list[str]] = defaultdict(list)
        self.dots: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self.texts: dict[Look, list[str]] = defaultdict(list)

    def add_row(self, strip: Strip, row: int) -> None:
        """One line of the screen."""
        column = 0
        for segment in strip:
            look = self._look(segment.style or Style.null())
            width = segment.cell_length
            if look.ground != self.plain.ground:
                self._ground(look.ground, column, row, width)
            for at, word in _words(segment.text):
                self._word(word, column + at, row, look)
            column += width

    def _ground(self, ground: str, column: int, row: int, width: int) -> None:
        """The ground of some cells; at the edges of the screen it goes on to the frame."""
        columns, rows = self.size
        left, right = MARGIN * (column == 0), MARGIN * (column + width == columns)
        above, below = MARGIN * (row == 0), MARGIN * (row == rows - 1)
        x, y = column * WIDE - left, row * HIGH - above
        self._area(ground, (x, y, width * WIDE + left + right, HIGH + above + below))

    def _look(self, style: Style) -> Look:
        ink = _hex(style.color) or self.plain.ink
        ground = _hex(style.bgcolor) or self.plain.ground
        if style.reverse:
            ink, ground = ground, ink
        return Look(ink, ground, bool(style.bold), bool(style.underline))

    def _word(self, word: str, column: int, row: int, look: Look) -> None:
        """Text, or signs of which each is drawn."""
        if not _is_drawn(word[0]):
            width = cell_len(word) * WIDE
            x, y = column * WIDE, row * HIGH + 15
            fixed = f' textLength="{width}"' if len(word) > 1 else ""
            bare = Look(look.ink, "", look.is_bold, look.is_underlined)
            self.texts[bare].append(f'<text x="{x}" y="{y}"{fixed}>{escape(word)}</text>')
            return
        for place, sign in enumerate(word):
            self._sign(sign, (column + place) * WIDE, row * HIGH, look.ink)

    def _sign(self, sign: str, x: int, y: int, ink: str) -> None:
        if sign in LINES:
            self.lines[ink] += [f"M{x + 5} {y + 10}{ARMS[arm]}" for arm in LINES[sign]]
        elif sign in SHADES:
            self._area(ink, (x, y, WIDE, HIGH), SHADES[sign])
        elif sign == "▀":
            self._area(ink, (x, y, WIDE, HIGH // 2))
        elif sign in LEFT_BLOCKS:
            self._area(ink, (x, y, WIDE * LEFT_BLOCKS[sign] / 8, HIGH))
        elif sign in LOWER_BLOCKS:
            high = HIGH * LOWER_BLOCKS[sign] / 8
            self._area(ink, (x, y + HIGH - high, WIDE, high))
        else:
            bits = ord(sign) - 0x2800
            for bit, (across, down) in enumerate(BRAILLE):
                if bits >> bit & 1:
                    self.dots[ink][y + 5 * down].append(x + 5 * across)

    def _area(self, ink: str, box: tuple[float, float, float, float], share: float = 1.0) -> None:
        x, y, wide, high = box
        self.areas[ink, share].append(f"M{x:g} {y:g}h{wide:g}v{high:g}h{-wide:g}z")

    def __str__(self) -> str:
        """Grounds first, then what stands on them."""
        parts = []
        for (ink, share), found in self.areas.items():
            pale = f' opacity="{share}"' if share < 1 else ""
            parts.append(f'<path fill="{ink}"{pale} d="' + "".join(found) + '"/>')
        for ink, found in self.lines.items():
            parts.append(f'<path fill="none" stroke="{ink}" d="' + "".join(found) + '"/>')
        for ink, rows in self.dots.items():
            parts.append(f'<path class="d" stroke="{ink}" d="{_dotted(rows)}"/>')
        for look, texts in self.texts.items():
            bold = ' font-weight="bold"' if look.is_bold else ""
            line = ' text-decoration="underline"' if look.is_underlined else ""
            parts.append(f'<g fill="{look.ink}"{bold}{line}>' + "".join(texts) + "</g>")
        return "\n".join(parts)


def svg_of(strips: Sequence[Strip], ink: str, ground: str) -> str:
    """The screen, in a frame with round corners."""
    columns, rows = max(strip.cell_length for strip in strips), len(strips)
    drawing = Drawing(ink, ground, (columns, rows))
    for row, strip in enumerate(strips):
        drawing.add_row(strip, row)
    wide, high = columns * WIDE + 2 * MARGIN, rows * HIGH + 2 * MARGIN
    frame = f'x="{-MARGIN}" y="{-MARGIN}" width="{wide}" height="{high}" rx="10"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-MARGIN} {-MARGIN} {wide} {high}"'
        ' font-size="16.6" font-family="DejaVu Sans Mono,Menlo,Consolas,monospace">\n'
        "<style>text{white-space:pre}.d{fill:none;stroke-width:3.4;stroke-linecap:round;"
        "stroke-dasharray:0 5}</style>\n"
        f'<clipPath id="f"><rect {frame}/></clipPath><rect {frame} fill="{ground}"/>\n'
        f'<g clip-path="url(#f)">\n{drawing}\n</g>\n</svg>\n'
    )


def _dotted(rows: dict[int, list[int]]) -> str:
    """Runs of neighbouring dots as one dotted line each."""
    path = []
    for y, found in sorted(rows.items()):
        places = sorted(found)
        start = last = places[0]
        for x in [*places[1:], -1]:
            if x != last + 5:
                path.append(f"M{start + 2.5:g} {y + 2.5:g}h{last - start + 0.1:g}")
                start = x
            last = x
    return "".join(path)


def _is_drawn(sign: str) -> bool:
    is_block = sign in LEFT_BLOCKS or sign in LOWER_BLOCKS or sign in SHADES or sign == "▀"
    return is_block or sign in LINES or 0x2800 <= ord(sign) < 0x2900


def _words(text: str) -> Iterator[tuple[int, str]]:
    """(cell, word): text without blanks at its ends or two in a row, or signs that are drawn."""
    column, begun, word = 0, 0, ""
    for sign in text + "  ":
        is_end = sign == " " and (not word or word[-1] == " " or _is_drawn(word[-1]))
        if word and (is_end or (sign != " " and _is_drawn(sign) != _is_drawn(word[-1]))):
            yield begun, word.rstrip(" ")
            word = ""
        if sign != " " or word:
            begun = begun if word else column
            word += sign
        column += cell_len(sign)


def _hex(color: Color | None) -> str:
    return color.get_truecolor().hex if color is not None and not color.is_default else ""
