"""What the examples look like: pictures, texts or numbers, as they were stored once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labbook.book.pictures import picture_of
from labbook.dynamics.columns import Floats, shape_of, vectors
from labbook.dynamics.observed import Observed

__all__ = ["Inputs", "inputs"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """The stored inputs, one entry an example in the order of `Observed.example`; None for none.

    `kind` is "image" or "audio" (a picture of the waveform), "text", "vector" or "other", and says
    which of the lists has entries; of "other" nothing was stored and `reason` tells why. Pictures
    are uint8 (height, width) or (height, width, 3).
    """

    kind: str
    reason: str | None
    images: list[NDArray[np.uint8] | None]
    texts: list[str | None]
    vectors: list[Floats | None]


def inputs(seen: Observed) -> Inputs:
    """Read the inputs of a chosen set.

    Texts are as they were recorded: pass them through `labbook.book.text.clean` before a terminal.
    """
    n = len(seen.example)
    nothing: list[Any] = [None] * n
    reason = seen.about.get("reason")
    reason = reason if isinstance(reason, str) else None
    table = seen.inputs
    if "text" in table.column_names and pa.types.is_string(table.schema.field("text").type):
        texts = [*table.column("text").to_pylist(), None]
        return Inputs("text", reason, nothing, [texts[row] for row in seen.input_row], nothing)
    kind = seen.about.get("kind")
    if kind in ("image", "audio"):
        pictures = _files(seen) or _pictures(seen)
        if pictures is not None:
            return Inputs(str(kind), reason, pictures, nothing, nothing)
    found = vectors(table, "input") if "input" in table.column_names else None
    if found is None or kind in ("image", "audio"):
        return Inputs("other", reason or "no input was recorded", nothing, nothing, nothing)
    values: list[Floats | None] = [None] * (table.num_rows + 1)
    lengths = _whole_numbers(seen.about.get("lengths"), table.num_rows)
    for at, block in found.blocks(found.known):
        for row, value in zip(at.tolist(), block, strict=True):
            values[row] = value if lengths is None else value[: lengths[row]]
    return Inputs("vector", reason, nothing, nothing, [values[row] for row in seen.input_row])


def _files(seen: Observed) -> list[NDArray[np.uint8] | None] | None:
    """Decode PNG files; None where the inputs are none."""
    if "input" not in seen.inputs.column_names:
        return None
    column = seen.inputs.column("input")
    if not pa.types.is_binary(column.type):
        return None
    found = [picture_of(png) for png in column.to_pylist()]
    plain = [None if picture is None else _plain(picture) for picture in found]
    return [[*plain, None][row] for row in seen.input_row]


def _plain(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without an axis for one channel, and without transparency."""
    return picture[:, :, :3] if picture.shape[2] >= 3 else picture[:, :, 0]


def _pictures(seen: Observed) -> list[NDArray[np.uint8] | None] | None:
    """Cut each picture out of its place in the array (height, width, channels) of all."""
    shape = shape_of(seen.inputs, "input")
    found = vectors(seen.inputs, "input")
    if found is None or shape is None or len(shape) != 3 or np.prod(shape) != found.width:
        return None
    if seen.inputs.schema.field("input").type.value_type != pa.uint8():
        return None
    sizes = seen.about.get("sizes")
    whole: list[NDArray[np.uint8] | None] = [None] * (seen.inputs.num_rows + 1)
    for at, block in found.blocks(found.known):
        pixels = block.astype(np.uint8).reshape(-1, *shape)
        for row, picture in zip(at.tolist(), pixels, strict=True):
            high, wide = _whole_numbers(_entry(sizes, row), 2) or shape[:2]
            whole[row] = _plain(picture[: max(1, high), : max(1, wide)])
    return [whole[row] for row in seen.input_row]


def _entry(values: Any, row: int) -> Any:
    return values[row] if isinstance(values, list) and row < len(values) else None


def _whole_numbers(values: Any, n: int) -> list[int] | None:
    """A list of `n` whole numbers that are not negative, or None."""
    if not isinstance(values, list) or len(values) != n:
        return None
    return values if all(type(v) is int and v >= 0 for v in values) else None
