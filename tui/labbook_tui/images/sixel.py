"""Sixel: six rows of pixels a line of characters, from a palette of at most 64 colours.

Of the VT340's manual (https://vt100.net/docs/vt3xx-gp/chapter14.html); colours are per cent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labbook_tui.images.picture import shrunk

__all__ = ["MOST_COLOURS", "palette_of", "sixel_of"]

MOST_COLOURS = 64
_BAND = 6
_MANY = 4096


def palette_of(
    pixels: NDArray[np.uint8], most: int = MOST_COLOURS
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """At most `most` colours (n, 3), and which of them each pixel (rows, columns) is.

    Median cut (Heckbert 1982): the box with the longest side is parted at the median until there
    are enough; a picture with few colours keeps them exactly.
    """
    if len(np.unique(_packed(pixels))) > _MANY:
        pixels = np.asarray(
            pixels & 0xF8 | pixels >> 5, np.uint8
        )  # 32 levels a channel are enough to choose 64 from
    codes, which, counts = np.unique(_packed(pixels), return_inverse=True, return_counts=True)
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    boxes = [np.arange(len(colours))]
    spans = [_span(colours[boxes[0]])]
    while len(boxes) < min(most, len(colours)):
        at = int(np.argmax(spans))
        box, _ = boxes.pop(at), spans.pop(at)
        channel = int(np.argmax(np.ptp(colours[box], axis=0)))
        box = box[np.argsort(colours[box, channel], kind="stable")]
        summed = np.cumsum(counts[box])
        half = int(np.searchsorted(summed, summed[-1] / 2)) + 1
        half = min(max(1, half), len(box) - 1)
        boxes += [box[:half], box[half:]]
        spans += [_span(colours[part]) for part in boxes[-2:]]
    palette = np.empty((len(boxes), 3), np.uint8)
    of_colour = np.empty(len(colours), np.intp)
    for at, box in enumerate(boxes):
        weights = counts[box, None]
        palette[at] = np.round((colours[box] * weights).sum(0) / weights.sum())
        of_colour[box] = at
    return palette, of_colour[which.reshape(-1)].reshape(pixels.shape[:2])


def _packed(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.asarray(pixels.reshape(-1, 3).astype(np.int64) @ (65536, 256, 1))


def _span(colours: NDArray[np.int64]) -> int:
    """The longest side of a box of colours; -1 where it cannot be parted."""
    return int(np.ptp(colours, axis=0).max()) if len(colours) > 1 else -1


def sixel_of(pixels: NDArray[np.uint8], size: tuple[int, int], most: int = MOST_COLOURS) -> str:
    """(rows, columns, 3) as a sixel picture of `size` (rows, columns), from the cursor down."""
    rows, columns = size
    if rows * columns < pixels.shape[0] * pixels.shape[1]:
        pixels = shrunk(pixels, rows, columns)
    palette, indices = palette_of(pixels, most)
    indices = shrunk(indices, rows, columns)
    out = [f'\x1bP0;1q"1;1;{columns};{rows}']
    for at, colour in enumerate(palette.tolist()):
        red, green, blue = (round(value * 100 / 255) for value in colour)
        out.append(f"#{at};2;{red};{green};{blue}")
    for top in range(0, rows, _BAND):
        out.append(_band(indices[top : top + _BAND]) + "-")
    return "".join(out) + "\x1b\\"


def _band(indices: NDArray[np.intp]) -> str:
    """Six rows: each colour's pixels over the whole width, one colour over the other."""
    colours, which = np.unique(indices, return_inverse=True)
    which = which.reshape(indices.shape)
    columns = np.arange(indices.shape[1])
    bits = np.zeros((len(colours), len(columns)), np.uint8)
    for row, found in enumerate(which):
        bits[found, columns] |= 1 << row
    lines = zip(colours.tolist(), bits, strict=True)
    return "$".join(f"#{colour}{_runs(line)}" for colour, line in lines)


def _runs(bits: NDArray[np.uint8]) -> str:
    """Four equal characters and more as `!4x`; blank ones at the end are left out."""
    edges = np.flatnonzero(np.diff(bits)) + 1
    starts = [0, *edges.tolist()]
    counts = np.diff([*starts, len(bits)]).tolist()
    if not bits[-1]:
        starts, counts = starts[:-1], counts[:-1]
    chars = map(chr, (bits[starts] + 63).tolist())
    return "".join(
        f"!{count}{char}" if count > 3 else char * count
        for char, count in zip(chars, counts, strict=True)
    )
