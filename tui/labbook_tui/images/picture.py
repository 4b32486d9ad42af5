"""A picture and the cells it is to fill, and its pixels made ready for a terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    T = TypeVar("T", bound=np.generic)

__all__ = ["Picture", "Place", "enlarged", "fitted", "shrunk", "whole"]

MOST_SIDE = 640
"""Pixels of a picture that is enlarged: the terminal does the rest."""


@dataclass(frozen=True)
class Place:
    """Cells of the screen, from the upper left corner."""

    x: int
    y: int
    columns: int
    rows: int

    def moved(self, x: int, y: int) -> Place:
        """The place within a widget as one of the screen."""
        return replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True, eq=False)
class Picture:
    """Values from 0 to 1, (rows, columns) or (rows, columns, 3), and where they are to stand."""

    pixels: Floats
    place: Place


def fitted(
    pixels: Floats, columns: int, rows: int, cell: tuple[float, float] = (1.0, 2.0)
) -> tuple[int, int]:
    """How many of these cells a picture fills at most, in its own shape; at least one each way.

    `cell` is the width and height of one, in any unit.
    """
    height, width = pixels.shape[:2]
    scale = min(columns * cell[0] / width, rows * cell[1] / height)
    across, down = round(width * scale / cell[0]), round(height * scale / cell[1])
    return min(columns, max(1, across)), min(rows, max(1, down))


def whole(pixels: Floats) -> NDArray[np.uint8]:
    """As (rows, columns, 3) bytes; what is not a number is black."""
    import numpy as np

    values = np.nan_to_num(pixels, posinf=1.0, neginf=0.0).clip(0, 1)
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3, axis=2)
    return np.asarray(np.round(values * 255), np.uint8)


def enlarged(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Each pixel as a square: a terminal would blur what it has to enlarge."""
    import numpy as np

    return np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1)


def shrunk(pixels: NDArray[T], height: int, width: int) -> NDArray[T]:
    """To so many pixels, each the nearest one; it may be more than there were."""
    import numpy as np

    down = (np.arange(height) * pixels.shape[0] / height).astype(int)
    across = (np.arange(width) * pixels.shape[1] / width).astype(int)
    return np.asarray(pixels[down][:, across])
