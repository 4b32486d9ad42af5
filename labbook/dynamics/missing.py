"""In words: which measures a chosen set has none of, and why."""

from __future__ import annotations

import pyarrow as pa

from labbook.dynamics.columns import shape_of
from labbook.dynamics.observed import Observed

__all__ = ["notes"]


def notes(seen: Observed) -> list[str]:
    """What is missing or odd, a line each; no lines when nothing is."""
    found = []
    if seen.loss is None:
        found.append("no loss was recorded")
    if seen.correct is None and seen.residuals is None:
        found.append(f"neither accuracy nor error: {_why(seen)}")
    if seen.scores is not None and seen.scores.n_nonfinite:
        found.append(f"{seen.scores.n_nonfinite} outputs are not finite; no score is taken of them")
    if seen.n_without_step:
        found.append(f"{seen.n_without_step} rows have no step and are left out")
    if seen.n_repeated:
        found.append(
            f"{seen.n_repeated} rows are of steps observed again: of each column the last counts"
        )
    return found


def _why(seen: Observed) -> str:
    if "target" not in seen.inputs.column_names:
        return "the targets were not recorded as numbers"
    columns = seen.rows.column_names
    if "output" not in columns and "prediction" not in columns:
        return "neither outputs nor predictions were recorded"
    output, target = shape_of(seen.rows, "output"), shape_of(seen.inputs, "target")
    if pa.types.is_string(seen.inputs.schema.field("target").type):
        return "the targets are texts"
    kind = "whole numbers" if seen.label is not None else "numbers"
    return f"outputs of shape {output} are not compared with targets of shape {target} ({kind})"
