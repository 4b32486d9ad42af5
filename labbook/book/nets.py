"""What `run.follow()` recorded, for readers: the statistics as a table, and the net as defined.

On disk a value of the table "model" is named `<statistic>/<tensor>`, as in
`update_ratio/conv1.weight`; histograms are `weight_histogram.low/…`, `.high`, and `.00` … for the
counts of equally wide bins between the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labbook.book.layout import TIME

if TYPE_CHECKING:
    from labbook.book.facts import Facts

__all__ = ["HISTOGRAM", "STATISTICS", "histogram_table", "modules_of", "nets", "statistics_table"]

STATISTICS: Final = pa.schema(
    [
        ("step", pa.int64()),
        ("time", TIME),
        ("tensor", pa.string()),
        ("statistic", pa.string()),
        ("value", pa.float64()),
    ]
)

HISTOGRAM: Final = pa.schema(
    [
        ("step", pa.int64()),
        ("time", TIME),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("counts", pa.list_(pa.float64())),
    ]
)

_BIN = re.compile(r"(?P<of>[a-z]+)_histogram\.(?P<part>low|high|[0-9]+)")


def statistics_table(long: pa.Table) -> pa.Table:
    """Columns step, time, tensor, statistic, value, by step and tensor, of rows with names."""
    names = pc.unique(long.column("name"))
    parts = [str(name).partition("/") for name in names.to_pylist()]
    is_wanted = [bool(tensor) and not _BIN.fullmatch(head) for head, _, tensor in parts]
    at = pc.index_in(long.column("name"), value_set=names).combine_chunks()
    rows = pa.table(
        {
            "step": long.column("step"),
            "time": long.column("time"),
            "tensor": pa.array([tensor for _, _, tensor in parts], pa.string()).take(at),
            "statistic": pa.array([head for head, _, _ in parts], pa.string()).take(at),
            "value": long.column("value"),
        },
        STATISTICS,
    ).filter(pa.array(is_wanted, pa.bool_()).take(at))
    order = [("step", "ascending"), ("tensor", "ascending"), ("statistic", "ascending")]
    return rows.sort_by([*order, ("time", "ascending")])


def histogram_table(long: pa.Table, tensor: str, of: str) -> pa.Table:
    """Histograms of one tensor by step: step, time, low, high, counts; null where not finite."""
    found: dict[tuple[Any, Any], dict[str, float | None]] = {}
    for row in long.to_pylist():
        head, _, name = row["name"].partition("/")
        match = _BIN.fullmatch(head)
        if name == tensor and match and match["of"] == of:
            found.setdefault((row["step"], row["time"]), {})[match["part"]] = row["value"]
    rows = []
    for (step, time), parts in found.items():
        low, high = parts.pop("low", None), parts.pop("high", None)
        if low is None or high is None or not np.isfinite([low, high]).all():
            rows.append({"step": step, "time": time})  # the counts mean nothing
        else:
            counts = [parts[key] for key in sorted(parts)]
            rows.append({"step": step, "time": time, "low": low, "high": high, "counts": counts})
    table = pa.Table.from_pylist(rows, HISTOGRAM)
    return table.sort_by([("step", "ascending"), ("time", "ascending")])


def nets(facts: Facts) -> dict[str, dict[str, Any]]:
    """The nets that were followed, by name (usually ""), each as recorded last."""
    found: dict[str, dict[str, Any]] = {}
    for record in facts.facts("model"):
        name, net = record.get("name"), record.get("model")
        if isinstance(net, dict):
            found[name if isinstance(name, str) else ""] = net
    return found


def modules_of(net: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The modules of a net that are recorded as they should be."""
    modules = net.get("modules")
    return (m for m in modules if isinstance(m, dict)) if isinstance(modules, list) else ()
