"""Chosen sets written with the real client and the real journal."""

from __future__ import annotations

from typing import Any

import numpy as np

from labbook.client.chosen import choose as choose_
from labbook.journal.writer import JournalWriter


def choose(journal: JournalWriter, data: Any, **options: Any) -> Any:
    """Choose all of `data`, in its order."""
    options.setdefault("by", "first")
    return choose_(journal, data, len(data[0]) if type(data) is tuple else len(data), **options)


def record(
    journal: JournalWriter,
    step: int,
    columns: dict[str, Any],
    examples: list[int] | None = None,
    name: str = "chosen",
) -> None:
    """Record an observation of some examples only."""
    arrays = {key: np.asarray(values) for key, values in columns.items()}
    kinds = {"f": "<f4", "i": "<i8", "b": "|b1"}
    arrays = {key: array.astype(kinds[array.dtype.kind]) for key, array in arrays.items()}
    header: dict[str, Any] = {
        "table": "chosen",
        "set": name,
        "columns": [
            {"name": key, "dtype": kinds[array.dtype.kind], "shape": list(array.shape)}
            for key, array in arrays.items()
        ],
    }
    if examples is not None:
        header["examples"] = examples
    journal.array(header, [array.tobytes() for array in arrays.values()], step)
