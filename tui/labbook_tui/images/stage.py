"""What picture is on the screen: put there after the cells are drawn, taken away before others.

Invariants: a picture is sent once and placed again by its number where the protocol knows numbers
(kitty); nothing is sent while the same picture stands at the same place; when the screen is given
back, none is left and none is kept by the terminal.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from labbook_tui.images.picture import MOST_SIDE, Picture, Place, enlarged, shrunk, whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MOST_BYTES", "MOST_KEPT", "Canvas", "Stage"]

MOST_BYTES = 64 * 1024
"""What one picture may cost on the line; a dearer one is made smaller."""
MOST_KEPT = 16
"""Pictures the terminal keeps for us."""
_FIRST = 0x6C6200
"""Numbers from here: other programs in the same window count from one."""


Shown = tuple[str, Place]
Later = Callable[[Callable[[], None]], None]


class Canvas(Protocol):
    """The terminal, as the driver gives it."""

    @property
    def cell(self) -> tuple[int, int]:
        """Pixels of a cell, across and down."""

    def draw(self, data: str) -> None:
        """Write sequences that change no cell."""

    def lose(self, place: Place) -> None:
        """What stands in these cells is not known any more: they are drawn anew."""


class Stage:
    """Shows one picture at a time with a protocol.

    `later` runs a job off the UI thread, and afterwards asks for the picture again: to pack a large
    one takes tenths of a second.
    """

    def __init__(self, protocol: Literal["kitty", "sixel"], canvas: Canvas, later: Later) -> None:
        self.protocol, self.canvas, self._later = protocol, canvas, later
        self._shown: Shown | None = None
        self._numbers: OrderedDict[str, int] = OrderedDict()
        self._next = _FIRST
        self._seen: tuple[object, str] = (None, "")
        self._making: Shown | None = None
        self._made: tuple[Shown, str | bytes] | None = None

    def show(self, picture: Picture | None) -> None:
        """This picture and no other; None for none. Nothing is sent when it is there already."""
        wanted = None if picture is None else (self._digest(picture), picture.place)
        if wanted == self._shown:
            return
        if self._shown is not None:
            was_cleared = self._take_away(*self._shown)
            self._shown = None
            if was_cleared:
                return  # the cells are drawn first, then this is asked for again
        if picture is None or wanted is None:
            return
        data = self._data(wanted, picture)
        if data:
            place = picture.place
            self.canvas.draw(f"\x1b7\x1b[{place.y + 1};{place.x + 1}H{data}\x1b8")
            self._shown = wanted

    def redrawn(self) -> None:
        """The cells have been drawn anew, as after a change of size: so must the picture be."""
        if self._shown is not None:
            self._take_away(*self._shown)
            self._shown = None

    def leave(self) -> str:
        """What frees all that the terminal keeps; nothing is known to be there afterwards."""
        from labbook_tui.images.kitty import forgotten

        numbers = [*self._numbers.values()]
        self._numbers.clear()
        self._shown = None
        return "".join(forgotten(number) for number in numbers)

    def _digest(self, picture: Picture) -> str:
        """The same for equal pixels: models are read anew while a run goes on."""
        if self._seen[0] is not picture.pixels:
            pixels = whole(picture.pixels)
            shape = repr(pixels.shape).encode()
            digest = hashlib.blake2b(shape + pixels.tobytes(), digest_size=16).hexdigest()
            self._seen = (picture.pixels, digest)
        return self._seen[1]

    def _take_away(self, digest: str, place: Place) -> bool:
        """Whether the cells below have to be drawn anew."""
        if self.protocol == "sixel":
            self.canvas.lose(place)
            return True
        from labbook_tui.images.kitty import hidden

        number = self._numbers.get(digest)
        if number is not None:
            self.canvas.draw(hidden(number))
        return False

    def _data(self, wanted: Shown, picture: Picture) -> str:
        """What draws it; "" while that is being made."""
        if self.protocol == "kitty" and wanted[0] in self._numbers:
            return self._placed(*wanted)
        made = self._made
        if made is None or made[0] != wanted:
            self._make(wanted, picture)
            made = self._made
        if made is None or made[0] != wanted:
            return ""
        self._made = None
        content = made[1]
        return (
            content
            if isinstance(content, str)
            else self._sent(wanted[0], content) + (self._placed(*wanted))
        )

    def _make(self, wanted: Shown, picture: Picture) -> None:
        """Pack it; of several that are asked for meanwhile the last one is kept."""
        if self._making == wanted:
            return
        self._making, cell = wanted, self.canvas.cell

        def job() -> None:
            content = (
                _png(whole(picture.pixels)) if self.protocol == "kitty" else _sixel(picture, cell)
            )
            if self._making == wanted:
                self._made, self._making = (wanted, content), None

        self._later(job)

    def _sent(self, digest: str, png: bytes) -> str:
        """Give it a number; the terminal forgets the one that was longest not shown."""
        from labbook_tui.images import kitty

        self._numbers[digest] = self._next
        out = kitty.sent(self._next, png)
        self._next += 1
        while len(self._numbers) > MOST_KEPT:
            out += kitty.forgotten(self._numbers.popitem(last=False)[1])
        return out

    def _placed(self, digest: str, place: Place) -> str:
        from labbook_tui.images.kitty import placed

        self._numbers.move_to_end(digest)
        return placed(self._numbers[digest], place.columns, place.rows)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """As sharp as the bytes allow: enlarged by a whole number, or made smaller."""
    from labbook_tui.images.kitty import png_of

    most = MOST_BYTES * 3 // 4  # as base64 it is a third longer
    side = max(pixels.shape[:2])
    for factor in range(max(1, MOST_SIDE // side), 0, -1):
        png = png_of(enlarged(pixels, factor))
        if len(png) <= most:
            return png
    while len(png) > most:
        part = min(0.9, (most / len(png)) ** 0.5)
        height, width = (max(1, int(size * part)) for size in pixels.shape[:2])
        pixels = shrunk(pixels, height, width)
        png = png_of(pixels)
    return png


def _sixel(picture: Picture, cell: tuple[int, int]) -> str:
    """In the cells' own pixels, or in as many of them as the bytes allow."""
    from labbook_tui.images.sixel import sixel_of

    place, pixels = picture.place, whole(picture.pixels)
    height, width = place.rows * cell[1], place.columns * cell[0]
    text = ""
    while not text or len(text) > MOST_BYTES:
        if text:
            part = min(0.9, (MOST_BYTES / len(text)) ** 0.5)
            height, width = max(1, int(height * part)), max(1, int(width * part))
        text = sixel_of(pixels, (height, width))
    return text
