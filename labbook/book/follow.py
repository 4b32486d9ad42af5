"""Following a live run: its new rows, as they are committed, until it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["FOLLOWED", "follow"]

FOLLOWED = pa.schema(
    {
        "time": pa.timestamp("ms", "UTC"),
        "step": pa.int64(),
        "name": pa.string(),
        "value": pa.float64(),
    }
)


def follow(run: RunReader, poll_s: float) -> Iterator[pa.Table]:
    """Yield tables of new rows, each ordered by time; returns when the run is known to have ended.

    Every row comes once, superseded ones of earlier attempts too. Within one series rows are told
    apart by how many there are, so a clock that was set back may show a row beside its neighbour.
    """
    seen: dict[str, int] = {}
    while True:
        run.refresh()
        is_over = run.state.name not in {"running", "unknown"}  # before the rows: none is missed
        if is_over:
            run.refresh()
        rows = _new(run, seen)
        if rows.num_rows:
            yield rows
        if is_over:
            return
        time.sleep(poll_s)


def _new(run: RunReader, seen: dict[str, int]) -> pa.Table:
    found = [FOLLOWED.empty_table()]
    for name in run.names():
        points = run.series(name, superseded=True)
        n_new = points.num_rows - seen.get(name, 0)
        if n_new <= 0:
            continue
        seen[name] = points.num_rows
        latest = points.sort_by("time").slice(points.num_rows - n_new)
        named = latest.append_column("name", pa.array([name] * n_new, pa.string()))
        found.append(named.select(FOLLOWED.names).cast(FOLLOWED))
    return pa.concat_tables(found).sort_by([("time", "ascending"), ("step", "ascending")])
