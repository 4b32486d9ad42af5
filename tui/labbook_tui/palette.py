"""Colours and marks: what they mean, for every depth of colour a terminal may have.

Series hues are Paul Tol's "bright" scheme (https://sronpersonalpages.nl/~pault/), seven hues that
colour-blind readers tell apart and that stay distinct in 256 and in 16 colours. Where colours are
few, a letter beside each curve and reverse video for the cursor carry the meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

if TYPE_CHECKING:
    from labbook_tui.images.protocol import Images

__all__ = ["LETTERS", "Depth", "Glyphs", "Ink", "depth_of", "seg"]

Depth = Literal["truecolor", "256", "16", "none"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_TOL_BRIGHT = ("66ccee", "ee6677", "ccbb44", "4477aa", "228833", "aa3377", "bbbbbb")
_DARK = {
    "background": "0e1116",
    "text": "d5d9e0",
    "dim": "7d8590",
    "faint": "3d444d",
    "cursor": "243248",
    "bar": "161b22",
    "good": "57ab5a",
    "bad": "ee6677",
    "warn": "ddb84a",
    "live": "66ccee",
    "accent": "8fb8f6",
}
_LIGHT = {
    "background": "fbfbfa",
    "text": "1f2328",
    "dim": "656d76",
    "faint": "c4cad1",
    "cursor": "d3e2f7",
    "bar": "eceff2",
    "good": "1a7f37",
    "bad": "c4314b",
    "warn": "8a6100",
    "live": "0b76a8",
    "accent": "2a5db0",
}
_LIGHT_SERIES = ("0b88b5", "d1495b", "9a8500", "31598c", "1b7a30", "93286a", "6b6b6b")

# viridis at 16 even points (matplotlib's table, CC0)
_VIRIDIS = [
    "440154",
    "481a6c",
    "472f7d",
    "414487",
    "39568c",
    "31688e",
    "2a788e",
    "23888e",
    "1f988b",
    "22a884",
    "35b779",
    "54c568",
    "7ad151",
    "a5db36",
    "d2e21b",
    "fde725",
]


def seg(text: str, style: Style | None = None) -> Segment:
    """A segment that always has a style (Textual's filters fail on None)."""
    return Segment(text, style if style is not None else Style.null())


def depth_of(color_system: str | None, no_color: bool) -> Depth:
    """The depth of colour from Rich's name for it and the NO_COLOR convention."""
    if no_color or color_system is None:
        return "none"
    if color_system == "truecolor":
        return "truecolor"
    return "256" if color_system == "256" else "16"


@dataclass(frozen=True)
class Glyphs:
    """Marks of one cell each; the plain set is for consoles whose font has no symbols."""

    live: str = "●"
    done: str = "✓"
    fail: str = "✗"
    stop: str = "■"
    unknown: str = "?"
    dirty: str = "!"
    cursor: str = "▸"
    down: str = "▾"
    up: str = "▴"
    rule: str = "─"
    side: str = "│"
    corner: str = "└"
    tick_x: str = "┬"
    tick_y: str = "┤"
    best: str = "◆"
    half: str = "▀"
    shades: str = " ░▒▓█"
    bar: str = " ▏▎▍▌▋▊▉█"
    spark: str = "▁▂▃▄▅▆▇█"
    braille: bool = True

    @classmethod
    def plain(cls) -> Glyphs:
        """For the Linux console: its font (CP437) has shades, but no braille and no marks."""
        return cls(
            live="*",
            done="+",
            fail="x",
            stop="#",
            cursor=">",
            down="v",
            up="^",
            rule="-",
            side="|",
            corner="+",
            tick_x="+",
            tick_y="+",
            best="*",
            bar=" " * 4 + "=" * 5,
            spark="_.-=:+*#",
            braille=False,
        )


@lru_cache(maxsize=4096)
def _style(color: str | None, background: str | None, attributes: str) -> Style:
    return Style(
        color=Color.parse("#" + color) if color else None,
        bgcolor=Color.parse("#" + background) if background else None,
        bold="b" in attributes or None,
        dim="d" in attributes or None,
        reverse="r" in attributes or None,
        underline="u" in attributes or None,
    )


def _mix(color: str, ground: str, part: float) -> str:
    pairs = ((int(color[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (0, 2, 4))
    return "".join(f"{round(c * part + g * (1 - part)):02x}" for c, g in pairs)


@dataclass(frozen=True)
class Ink:
    """Every style of the program, by meaning, at one depth of colour."""

    depth: Depth = "truecolor"
    dark: bool = True
    glyphs: Glyphs = field(default_factory=Glyphs)
    slots: tuple[int, ...] = ()
    """The hue of the n-th curve, where it is another than the n-th."""
    images: Images = "blocks"
    """How pictures are shown: by the terminal itself (kitty, sixel), in half-blocks, or not."""

    @property
    def draws_pixels(self) -> bool:
        """Whether the terminal draws pictures itself."""
        return self.images in {"kitty", "sixel"}

    def hued(self, slots: tuple[int, ...]) -> Ink:
        """The same with these hues for the first curves."""
        return replace(self, slots=slots)

    def _hue(self, index: int) -> str:
        index = self.slots[index] if index < len(self.slots) else index
        return self.hues[index % len(self.hues)]

    def letter(self, index: int) -> str:
        """The letter of the n-th curve, `A` for the first hue."""
        index = self.slots[index] if index < len(self.slots) else index
        return LETTERS[index % len(LETTERS)]

    @property
    def table(self) -> dict[str, str]:
        """Colours by meaning, as six hex digits."""
        return _DARK if self.dark else _LIGHT

    def of(self, meaning: str, attributes: str = "") -> Style:
        """The style of a meaning; `attributes` from b(old), d(im), r(everse), u(nderline)."""
        if self.depth == "none":
            faint = "d" if meaning in {"dim", "faint"} else ""
            strong = "b" if meaning in {"bad", "warn", "accent"} else ""
            return _style(None, None, attributes + faint + strong)
        if self.depth == "16" and meaning == "text":
            return _style(None, None, attributes)
        if self.depth == "16" and meaning == "faint":
            meaning = "dim"
        return _style(self.table[meaning], None, attributes)

    @cached_property
    def cursor(self) -> Style:
        """Laid over the row under the cursor."""
        if self.depth in {"none", "16"}:
            return _style(None, None, "r")
        return _style(None, self.table["cursor"], "")

    @cached_property
    def ground(self) -> Style:
        """Laid under everything; with few colours the terminal's own ground stays."""
        if self.depth in {"none", "16"}:
            return Style.null()
        return _style(self.table["text"], self.table["background"], "")

    @cached_property
    def bar(self) -> Style:
        """Laid under the header and the footer."""
        if self.depth in {"none", "16"}:
            return Style.null()
        return _style(None, self.table["bar"], "")

    @property
    def hues(self) -> tuple[str, ...]:
        """The seven series hues."""
        return _TOL_BRIGHT if self.dark else _LIGHT_SERIES

    def series(self, index: int, attributes: str = "") -> Style:
        """The style of the n-th curve."""
        if self.depth == "none":
            return _style(None, None, attributes)
        return _style(self._hue(index), None, attributes)

    def band(self, index: int) -> Style | None:
        """The style of a curve's raw values behind its smooth line; None: do not draw them."""
        if self.depth == "none":
            return None
        if self.depth == "16":
            return self.of("dim")
        part = 0.40 if self.dark else 0.35
        return _style(_mix(self._hue(index), self.table["background"], part), None, "")

    @cached_property
    def heat(self) -> tuple[str, ...]:
        """Heatmap colours from low to high; empty where shades have to do."""
        if self.depth == "truecolor":
            return tuple(_VIRIDIS)
        if self.depth == "256":  # 16 levels keep only 11 distinct codes here
            return tuple(_VIRIDIS[::2])
        return ()

    def pixel(self, upper: str | None, lower: str | None) -> Style:
        """Two pixels in one cell: the upper one is the ink of `▀`, the lower one its ground."""
        return _style(upper, lower, "")
