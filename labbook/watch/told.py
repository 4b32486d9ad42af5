"""What an evaluation with a loop of its own found, as far as it says: metrics, rows, counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Told", "as_told"]


@dataclass(frozen=True)
class Told:
    """Returned by `evaluate(context)`.

    `metrics` are as told; those that are not finite become None. `rows` are columns, one entry an
    example, with the ids under `example`; None where there are only metrics. Without rows
    `n_examples` says over how many examples the metrics are; None where that is not known.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    stderr: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Any] | None = None
    n_examples: int | None = None
    n_expected: int | None = None
    data_digest: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def as_told(found: object) -> Told | None:
    """`found` where it tells metrics: a `Told`, or a mapping of single numbers; else None."""
    if isinstance(found, Told):
        return found
    if isinstance(found, Mapping) and found and all(map(_is_number, found.values())):
        return Told(metrics=found)
    return None


def _is_number(value: object) -> bool:
    """A number, or a tensor or array of no dimension."""
    if value is None or isinstance(value, int | float):
        return True
    return getattr(value, "shape", None) == () and hasattr(value, "__float__")
