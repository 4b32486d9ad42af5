"""A chosen set over the run: losses and outputs as arrays, inputs as something to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labbook.book.pictures import picture_of
from labbook.book.text import clean
from labbook_tui.models import ChosenModel, Example, Want
from labbook_tui.read.arrays import facts_of, floats, matrix

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["build", "pictures"]

MOST_OUTPUTS = 30_000_000
"""Values of outputs kept in memory; above it only losses are shown."""


def build(reader: RunReader, want: Want) -> ChosenModel:
    """`want.detail` may name the set; else the first."""
    sets = tuple(reader.chosen_sets())
    name = want.detail[0] if want.detail and want.detail[0] in sets else (sets[0] if sets else "")
    nothing = np.zeros((0, 0))
    if not name:
        return ChosenModel(reader.summary(), sets, "", np.zeros(0), (), nothing, None)
    table = reader.chosen(name)
    inputs = reader.examples(name)
    known = floats(inputs.column("example")).astype(int).tolist() if inputs.num_rows else []
    ids, steps, rows, columns = _places(table, known)
    loss = np.full((len(ids), len(steps)), np.nan)
    if "loss" in table.column_names:
        loss[rows, columns] = floats(table.column("loss"))
    outputs = _outputs(table, rows, columns, loss.shape)
    examples = tuple(_examples(inputs, known, ids))
    return ChosenModel(reader.summary(), sets, name, steps, examples, loss, outputs)


def _places(
    table: Any, known: list[int]
) -> tuple[list[int], NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Example ids and steps that occur, and each observation's row and column among them."""
    seen = floats(table.column("example")).astype(np.int64)
    ids = np.union1d(seen, np.array(known, np.int64)).astype(np.int64)
    steps, columns = np.unique(floats(table.column("step")), return_inverse=True)
    return ids.tolist(), steps, np.searchsorted(ids, seen), columns


def _outputs(
    table: Any, rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """Outputs (examples, observations, D); None when none were recorded or they are too many."""
    if "output" not in table.column_names:
        return None
    values = matrix(table.column("output"))
    if values is None or values.shape[1] * shape[0] * shape[1] > MOST_OUTPUTS:
        return None
    outputs = np.full((*shape, values.shape[1]), np.nan, np.float32)
    outputs[rows, columns] = values
    return outputs


def _examples(inputs: Any, known: list[int], ids: list[int]) -> list[Example]:
    place = {example: row for row, example in enumerate(known)}
    columns = inputs.column_names if known else []
    images = pictures(inputs) if "input" in columns else None
    vectors = matrix(inputs.column("input")) if "input" in columns and images is None else None
    texts = _texts(inputs, columns)
    targets = _targets(inputs, columns)
    out = []
    for example in ids:
        row = place.get(example)
        if row is None:
            out.append(Example(example))
            continue
        target, label = targets[row] if targets else ("", None)
        out.append(
            Example(
                example,
                images[row] if images is not None else None,
                texts[row] if texts else "",
                None if vectors is None else vectors[row].astype(np.float64),
                target,
                label,
            )
        )
    return out


def _texts(inputs: Any, columns: list[str]) -> list[str]:
    import pyarrow as pa

    for name in ("text", "texts", "input"):
        if name in columns and pa.types.is_string(inputs.column(name).type):
            return [clean(text) for text in inputs.column(name).to_pylist()]
    if "seconds" in columns:  # audio: below its waveform
        lengths = floats(inputs.column("seconds")).tolist()
        return [f"{seconds:.3g} s" for seconds in lengths]
    return []


def _targets(inputs: Any, columns: list[str]) -> list[tuple[str, int | None]]:
    if "target" not in columns:
        return []
    out: list[tuple[str, int | None]] = []
    for value in inputs.column("target").to_pylist():
        if isinstance(value, int) and not isinstance(value, bool):
            out.append((str(value), value))
        elif isinstance(value, list):
            out.append((" ".join(f"{v:.3g}" for v in value[:8]) + (" …" * (len(value) > 8)), None))
        else:
            out.append(("" if value is None else clean(value), None))
    return out


def pictures(inputs: Any) -> list[NDArray[np.float64] | None] | None:
    """Inputs as images (rows, columns[, 3]) from 0 to 1; None when they are not images.

    PNG files, of pictures and of waveforms; one that cannot be decoded is None. Numbers without a
    `kind` in the schema's metadata are guessed: squares of one or three channels.
    """
    import pyarrow as pa

    column = inputs.column("input")
    if pa.types.is_binary(column.type):
        found = [picture_of(png) for png in column.to_pylist()]
        return [None if image is None else _plain(image / 255.0) for image in found]
    facts = facts_of(inputs)
    values = matrix(column)
    if values is None or facts.get("kind") not in {None, "image"}:
        return None
    shape = _shape(facts, values.shape[1])
    if shape is None:
        return None
    images = values.reshape(-1, *shape).astype(np.float64)
    low, high = np.nanmin(images), np.nanmax(images)
    return [_plain((image - low) / (high - low or 1.0)) for image in images]


def _plain(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without an axis for one channel, and without transparency."""
    return image[..., :3] if image.shape[2] >= 3 else image[..., 0]


def _shape(facts: dict[str, Any], count: int) -> tuple[int, int, int] | None:
    """Rows, columns and channels of an input with `count` values."""
    told = facts.get("shapes", {}).get("input") if isinstance(facts.get("shapes"), dict) else None
    if isinstance(told, list) and np.prod(told) == count and len(told) in {2, 3}:
        return (told[0], told[1], told[2] if len(told) == 3 else 1)
    for channels in (1, 3):
        side = round((count / channels) ** 0.5)
        if side >= 4 and side * side * channels == count:
            return side, side, channels
    return None
