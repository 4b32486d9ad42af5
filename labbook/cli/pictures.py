"""Small pictures and histograms out of characters.

With colour a cell is two pixels, `▀` in the upper one's colour on the lower one's; without, their
mean as a grey level out of ten characters.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bars", "beside", "picture_lines"]

_RAMP: Final = " .:-=+*#%@"
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"


def picture_lines(pixels: NDArray[Any], width: int, colour: bool) -> list[str]:
    """Draw a uint8 picture (H, W) or (H, W, 1 | 3 | 4), at most `width` cells wide.

    Pixels are left out, not mixed, when it is wider; each line takes the same number of cells.
    """
    import numpy as np

    image = pixels[:, :, None] if pixels.ndim == 2 else pixels
    image = np.repeat(image, 3, 2) if image.shape[2] == 1 else image[:, :, :3]
    step = max(1, -(-image.shape[1] // max(width, 1)))
    image = image[::step, ::step]
    if len(image) % 2:
        image = np.concatenate([image, np.zeros_like(image[:1])])
    upper, lower = image[::2], image[1::2]
    if colour:
        return [_coloured(above, below) for above, below in zip(upper, lower, strict=True)]
    grey = (upper.astype(np.float64) + lower).mean(2) / 2 / 255
    index = (grey * (len(_RAMP) - 1)).round().astype(int)
    return ["".join(_RAMP[i] for i in row) for row in index]


def _coloured(above: NDArray[Any], below: NDArray[Any]) -> str:
    cells = zip(above.tolist(), below.tolist(), strict=True)
    return "".join(click.style("▀", fg=_tone(a), bg=_tone(b)) for a, b in cells)


def _tone(rgb: list[int]) -> tuple[int, int, int] | int:
    """The colour itself where the terminal says that it can, else the nearest of its 256."""
    if os.environ.get("COLORTERM") in {"truecolor", "24bit"}:
        return rgb[0], rgb[1], rgb[2]
    if max(rgb) - min(rgb) < 8:  # the ramp of 24 greys is finer than the cube
        level = round(sum(rgb) / 3 / 255 * 25)
        return 16 if level == 0 else 231 if level == 25 else 231 + level
    red, green, blue = (round(part / 255 * 5) for part in rgb)
    return 16 + 36 * red + 6 * green + blue


def beside(pictures: Sequence[list[str]], gap: str = "  ") -> list[str]:
    """Put pictures of the same height next to each other."""
    return [gap.join(parts) for parts in zip(*pictures, strict=True)]


def bars(counts: Sequence[int], width: int) -> str:
    """Draw counts as one row of blocks, at most `width` cells: what is there is never blank."""
    per_cell = max(1, -(-len(counts) // max(width, 1)))
    sums = [sum(counts[at : at + per_cell]) for at in range(0, len(counts), per_cell)]
    top = max(sums, default=0)
    if not top:
        return " " * len(sums)
    return "".join(_BLOCKS[0 if not n else max(1, round(8 * n / top))] for n in sums)
