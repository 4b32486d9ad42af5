"""The run table: one Arrow row a run, arguments and series flattened into columns."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

from labbook.book.summary import RunSummary

__all__ = ["merge_run_tables", "run_table"]

_FIXED: Final = {
    "id": pa.string(),
    "name": pa.string(),
    "state": pa.string(),
    "why": pa.string(),
    "created": pa.timestamp("ms", tz="UTC"),
    "ended": pa.timestamp("ms", tz="UTC"),
    "seen": pa.timestamp("ms", tz="UTC"),
    "duration_s": pa.float64(),
    "group": pa.string(),
    "tags": pa.list_(pa.string()),
    "parent": pa.string(),
    "attempt": pa.int64(),
    "host": pa.string(),
    "git.commit": pa.string(),
    "git.branch": pa.string(),
    "git.dirty": pa.bool_(),
    "git.dirty_files": pa.list_(pa.string()),
    "n_checkpoints": pa.int64(),
    "n_results": pa.int64(),
    "n_faults": pa.int64(),
}
_STATS: Final = ("last", "step", "min", "max", "count")


def run_table(summaries: Iterable[RunSummary]) -> pa.Table:
    """One row a run, in the order given.

    Columns: id, name, state, why, created, ended, seen, duration_s, group, tags, parent, attempt,
    host, git.commit, git.branch, git.dirty (null without git), git.dirty_files, n_checkpoints,
    n_results, n_faults; then args.<name>, last. step. min. max. and count.<series>, and
    result.<evaluation>.<metric>. Arguments whose kinds differ between runs are text.
    """
    rows = [_row(summary) for summary in summaries]
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in _FIXED.items()}
    for name in sorted({name for row in rows for name in row} - _FIXED.keys(), key=_by_kind):
        columns[name] = _column(name, [row.get(name) for row in rows])
    return pa.table(columns)


def merge_run_tables(old: pa.Table, new: pa.Table) -> pa.Table:
    """All rows of two run tables; a column that one of them lacks is null there."""
    if not old.num_rows:
        return new
    variable = (set(old.column_names) | set(new.column_names)) - _FIXED.keys()
    columns: dict[str, pa.ChunkedArray] = {}
    for name in (*_FIXED, *sorted(variable, key=_by_kind)):
        chunks = [_column_of(table, name) for table in (old, new)]
        kind = _common(chunks[0], chunks[1])
        column = pa.chunked_array([c for part in chunks for c in _cast(part, kind).chunks], kind)
        if name in _FIXED or column.null_count < len(column):
            columns[name] = column
    return pa.table(columns)


def _column_of(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name in table.column_names:
        return table.column(name)
    return pa.chunked_array([pa.nulls(table.num_rows)])


def _common(one: pa.ChunkedArray, other: pa.ChunkedArray) -> pa.DataType:
    """The type both fit: of numbers float, of different kinds text; nulls fit anything."""
    kinds = [c.type for c in (one, other) if c.null_count < len(c)] or [
        c.type for c in (one, other) if not pa.types.is_null(c.type)
    ]
    if not kinds:
        return pa.null()
    if all(kind == kinds[0] for kind in kinds):
        return kinds[0]
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return pa.float64()
    return pa.string()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)], kind)
    if kind == pa.string():
        return pa.chunked_array([pa.array(map(as_text, column.to_pylist()), kind)])
    return column.cast(kind, safe=False)


def _row(summary: RunSummary) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": summary.id,
        "name": summary.name,
        "state": summary.state,
        "why": summary.why,
        "created": _ms(summary.created_ns),
        "ended": _ms(summary.ended_ns),
        "seen": _ms(summary.seen_ns),
        "duration_s": _duration_s(summary),
        "group": summary.group,
        "tags": list(summary.tags),
        "parent": summary.parent,
        "attempt": summary.attempt,
        "host": summary.host,
        "git.commit": summary.commit,
        "git.branch": summary.branch,
        "git.dirty": None if summary.dirty is None else bool(summary.dirty),
        "git.dirty_files": None if summary.dirty is None else list(summary.dirty),
        "n_checkpoints": summary.n_checkpoints,
        "n_results": summary.n_results,
        "n_faults": sum(summary.faults.values()),
    }
    row |= {f"args.{name}": value for name, value in summary.arguments.items()}
    for series, stat in summary.stats.items():
        row |= {f"{name}.{series}": getattr(stat, name) for name in _STATS}
    for evaluation, metrics in summary.results.items():
        row |= {f"result.{evaluation}.{name}": value for name, value in metrics.items()}
    return row


def _ms(time_ns: int | None) -> int | None:
    return None if time_ns is None else time_ns // 1_000_000


def _duration_s(summary: RunSummary) -> float | None:
    """From creation to the end, or to the last sign of life."""
    until = summary.ended_ns or summary.seen_ns
    if until is None or summary.created_ns is None:
        return None
    return max(0, until - summary.created_ns) / 1e9


def _by_kind(name: str) -> tuple[int, str]:
    order = ("args", *_STATS, "result")
    kind, _, rest = name.partition(".")
    return order.index(kind), rest


def _column(name: str, values: list[Any]) -> pa.Array:
    kind, _, _ = name.partition(".")
    if kind in {"step", "count"}:
        return pa.array(values, pa.int64())
    if kind != "args":
        return pa.array(values, pa.float64())
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {int} and all(v is None or -(2**63) <= v < 2**63 for v in values):
        return pa.array(values, pa.int64())
    # a float column would take digits from an integer this large
    if kinds <= {int, float} and not any(isinstance(v, int) and abs(v) > 2**53 for v in values):
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([as_text(value) for value in values], pa.string())


def as_text(value: Any) -> str | None:
    """Text as it is, everything else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
