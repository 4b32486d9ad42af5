"""What the examples look like: pictures, texts or numbers, as they were stored once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labbook.dynamics.columns import Floats, shape_of, vectors
from labbook.dynamics.observed import Observed

__all__ = ["Inputs", "inputs"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """The stored inputs, one entry an example in the order of `Observed.example`; None for none.

    `kind` is "image", "text", "vector" or "other", and says which of the lists has entries; of
    "other" nothing was stored and `reason` tells why. Pictures are uint8 (height, width) or
    (height, width, 3).
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
    if seen.about.get("kind") == "image":
        pictures = _pictures(seen)
        if pictures is not None:
            return Inputs("image", reason, pictures, nothing, nothing)
    found = vectors(table, "input") if "input" in table.column_names else None
    if found is None or seen.about.get("kind") == "image":
        return Inputs("other", reason or "no input was recorded", nothing, nothing, nothing)
    values: list[Floats | None] = [None] * (table.num_rows + 1)
    lengths = _whole_numbers(seen.about.get("lengths"), table.num_rows)
    for at, block in found.blocks(found.known):
        for row, value in zip(at.tolist(), block, strict=True):
            values[row] = value if lengths is None else value[: lengths[row]]
    return Inputs("vector", reason, nothing, nothing, [values[row] for row in seen.input_row])


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
            cut = picture[: max(1, high), : max(1, wide)]
            whole[row] = cut[:, :, :3] if shape[2] >= 3 else cut[:, :, 0]
    return [whole[row] for row in seen.input_row]


def _entry(values: Any, row: int) -> Any:
    return values[row] if isinstance(values, list) and row < len(values) else None


def _whole_numbers(values: Any, n: int) -> list[int] | None:
    """A list of `n` whole numbers that are not negative, or None."""
    if not isinstance(values, list) or len(values) != n:
        return None
    return values if all(type(v) is int and v >= 0 for v in values) else None
