"""Small pictures, curves and histograms as text: half-blocks where there are colours, else ASCII.

Invariant: a drawn picture has lines of equally many cells, so that text can stand beside it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
import numpy as np
from numpy.typing import NDArray

from labbook.cli.tables import has_colour

__all__ = ["bars", "beside", "colours", "draw", "sparkline"]

_SHADES = " .:-=+*#%@"
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-=*#"

Floats = NDArray[np.float64]


def colours() -> int:
    """How many colours stdout shows: 2**24, 256, or 0 where pictures are drawn in ASCII."""
    if not has_colour():
        return 0
    if os.environ.get("COLORTERM", "") in ("truecolor", "24bit"):
        return 1 << 24
    return 256 if "256" in os.environ.get("TERM", "") else 0


def draw(image: NDArray[np.uint8], columns: int, lines: int, n_colours: int) -> list[str]:
    """Draw a picture (height, width[, 3]) in at most `columns` × `lines` cells.

    A cell is one pixel wide and two high. Pictures are made smaller to fit, never greater.
    """
    pixels = _shrunk(image.astype(np.float64), columns, 2 * lines)
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, np.zeros_like(pixels[:1])])
    if not n_colours:
        bright = pixels if pixels.ndim == 2 else pixels @ (0.299, 0.587, 0.114)  # Rec. 601
        cells = (bright[::2] + bright[1::2]) / 2
        levels = (cells / 256 * len(_SHADES)).astype(int).clip(0, len(_SHADES) - 1)
        return ["".join(_SHADES[level] for level in line) for line in levels]
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    whole = pixels.round().astype(int).clip(0, 255)
    return [
        "".join(
            click.style("▀", fg=_colour(upper, n_colours), bg=_colour(lower, n_colours))
            for upper, lower in zip(top, bottom, strict=True)
        )
        for top, bottom in zip(whole[::2].tolist(), whole[1::2].tolist(), strict=True)
    ]


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Draw a curve in at most `width` cells, from its least to its greatest finite value.

    Of values that share a cell the mean is drawn; a space is where none is finite.
    """
    known = np.array([np.nan if v is None else v for v in values], np.float64)
    known[~np.isfinite(known)] = np.nan
    if not len(known):
        return ""
    bars = _BARS if _can_print(_BARS) else _PLAIN_BARS
    parts = np.array_split(known, min(width, len(known)))
    means = [
        float(part[~np.isnan(part)].mean()) if (~np.isnan(part)).any() else None for part in parts
    ]
    found = [mean for mean in means if mean is not None]
    low, high = min(found, default=0.0), max(found, default=0.0)
    scale = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if m is None else bars[round((m - low) * scale)] for m in means)


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
    blocks = _BARS if _can_print(_BARS) else _PLAIN_BARS
    last = len(blocks) - 1
    return "".join(" " if not n else blocks[max(0, round(last * n / top))] for n in sums)


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _shrunk(image: Floats, width: int, height: int) -> Floats:
    """Mean over areas, so that the picture fits; sides keep their ratio."""
    scale = min(1.0, width / image.shape[1], height / image.shape[0])
    for axis in (0, 1) if scale < 1 else ():
        length = image.shape[axis]
        edges = np.linspace(0, length, max(1, int(length * scale)) + 1).round().astype(int)
        counts = np.diff(edges).reshape([-1 if i == axis else 1 for i in range(image.ndim)])
        image = np.add.reduceat(image, edges[:-1], axis=axis) / counts
    return image


def _colour(pixel: list[int], n_colours: int) -> int | tuple[int, int, int]:
    """A colour as click wants it; of the 256 the nearest grey, or the nearest in the 6×6×6 cube."""
    red, green, blue = pixel
    if n_colours > 256:
        return red, green, blue
    if max(pixel) - min(pixel) < 8:  # 232 … 255 are greys from 8 in steps of 10
        grey = round((sum(pixel) / 3 - 8) / 10)
        return 16 if grey < 0 else min(232 + grey, 255)
    steps = [0 if v < 48 else 1 if v < 115 else (v - 35) // 40 for v in pixel]  # 0 95 135 … 255
    return 16 + 36 * steps[0] + 6 * steps[1] + steps[2]
