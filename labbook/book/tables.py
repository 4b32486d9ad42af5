"""The Arrow tables a reader of one run gets, from sealed parts and journals together.

Superseded rows, those of earlier attempts from the resume step on, are left out unless asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labbook.book.attempts import NEVER, attempt_of, limits, order_of
from labbook.book.decode import Block, is_null
from labbook.book.facts import Facts
from labbook.book.layout import TIME
from labbook.book.live import Journal
from labbook.book.observations import examples_table, observation_table, set_of, unified
from labbook.book.points import PartCache, Points, read_parquet
from labbook.book.seals import Part, Seals
from labbook.book.stats import SeriesStat, Stat
from labbook.journal.format import NO_STEP

if TYPE_CHECKING:
    from labbook.paths import RunPaths

__all__ = ["Tables"]

_EVENTS: Final = pa.schema(
    [
        ("time", TIME),
        ("step", pa.int64()),
        ("kind", pa.string()),
        ("text", pa.string()),
        ("fields", pa.string()),
    ]
)
_LONG: Final = pa.schema(
    [("time", TIME), ("step", pa.int64()), ("name", pa.string()), ("value", pa.float64())]
)


class Tables:
    """Builds tables as of the last refresh of the run's facts, seals and journal."""

    def __init__(self, paths: RunPaths, facts: Facts, seals: Seals, journal: Journal) -> None:
        self.paths = paths
        self.facts = facts
        self.seals = seals
        self.journal = journal
        self.damage: list[str] = []
        """Array records that could not be read, one line each."""
        self._cache = PartCache(paths.root)

    # ------------------------------------------------------------------ writers and attempts

    def writers(self) -> list[str]:
        """All writers by attempt and rank: later ones supersede earlier ones."""
        names = {m.span.writer for m in self.seals.all.values()} | self.journal.writers.keys()
        return sorted(names, key=self._order)

    def _order(self, writer: str) -> tuple[int, int, int, str]:
        return order_of(self.facts, writer)

    def _attempt(self, writer: str) -> int:
        return attempt_of(self.facts, writer)

    def _limits(self, first_steps: dict[int, int]) -> dict[int, int]:
        return limits(self.facts, self.writers(), first_steps)

    # ------------------------------------------------------------------ series

    def writer_stats(self) -> dict[str, dict[str, SeriesStat]]:
        """Statistics of each writer's series."""
        found: dict[str, dict[str, SeriesStat]] = {}
        sealed = [(m.span.writer, m.series) for m in self.seals.in_force()]
        live = [(w.writer, w.stats()) for w in self.journal.writers.values()]
        for writer, stats in sealed + live:
            mine = found.setdefault(writer, {})
            for name, stat in stats.items():
                mine[name] = mine[name].merge(stat) if name in mine else stat
        return found

    def names(self) -> list[str]:
        """All series, sorted."""
        return sorted({name for stats in self.writer_stats().values() for name in stats})

    def stats(self) -> dict[str, Stat]:
        """Statistics of each series, of the rows that are not superseded."""
        by_writer = self.writer_stats()
        found: dict[str, SeriesStat] = {}
        for order, writer in enumerate(self.writers()):
            for name, stat in by_writer.get(writer, {}).items():
                below = self._series_limits(name, by_writer)
                limit = below.get(self._attempt(writer), NEVER)
                rest = self._below(writer, name, stat, limit)
                if rest is not None:
                    rest = replace(rest, order=order)
                    found[name] = found[name].merge(rest) if name in found else rest
        return {name: found[name].public() for name in sorted(found)}

    def series(self, name: str, table: str = "series", *, superseded: bool = False) -> Points:
        """All rows of one name, sorted by step.

        Raises `DamagedFile`, and `FileNotFoundError` when a newer seal replaced a part.
        """
        below = {} if superseded or table != "series" else self._series_limits(name)
        found: list[Points] = []
        for writer in self.writers():
            points = Points.concat(list(self._of_writer(writer, name, table)))
            limit = below.get(self._attempt(writer), NEVER)
            found.append(points if limit == NEVER else points.take(points.step < limit))
        return Points.concat([points for points in found if len(points)]).in_order()

    def _series_limits(
        self, name: str, by_writer: dict[str, dict[str, SeriesStat]] | None = None
    ) -> dict[int, int]:
        if len({self._attempt(w) for w in self.writers()}) < 2:
            return {}
        first: dict[int, int] = {}
        stats = self.writer_stats() if by_writer is None else by_writer
        for writer in self.writers():
            if name in stats.get(writer, {}):
                first.setdefault(self._attempt(writer), stats[writer][name].first_step)
        return self._limits(first)

    def _below(self, writer: str, name: str, stat: SeriesStat, limit: int) -> SeriesStat | None:
        """The statistics of the rows below a step; None when there are none."""
        if stat.high_step < limit:
            return stat
        if stat.low_step >= limit:
            return None
        points = Points.concat(list(self._of_writer(writer, name, "series")))
        return points.take(points.step < limit).summary()

    def _of_writer(self, writer: str, name: str, table: str) -> Iterator[Points]:
        for part in self._parts(table, writer):
            points = self._cache.points(part, name)
            if len(points):
                yield points
        yield from self._live_points(writer, name, table)

    def _live_points(self, writer: str, name: str, table: str) -> Iterator[Points]:
        journal = self.journal.writers.get(writer)
        if journal is None:
            return
        found = [
            (block, index)
            for block in journal.blocks(table)
            for index, other in enumerate(block.names)
            if other == name
        ]
        points = Points.concat([Points.of_block(block, index) for block, index in found])
        if len(found) > 1:  # back into the order of logging
            points = points.take(np.argsort(np.concatenate([b.seq for b, _ in found])))
        yield points

    def _parts(self, table: str, writer: str | None = None) -> Iterator[Part]:
        for manifest in self.seals.in_force():
            if writer is None or manifest.span.writer == writer:
                yield from (part for part in manifest.parts if part.table == table)

    def aligned(self, names: Iterable[str]) -> pa.Table:
        """The last value of each step, one column a series; rows without a step are left out."""
        columns: list[tuple[str, Points]] = []
        for name in names:
            points = self.series(name)
            last = np.append(points.step[1:] != points.step[:-1], True)[: len(points)]
            columns.append((name, points.take(last & (points.step != NO_STEP))))
        every = [points.step for _, points in columns]
        steps = np.unique(np.concatenate(every)) if every else np.empty(0, np.int64)
        fields: list[tuple[str, pa.Array]] = [("step", pa.array(steps))]
        for name, points in columns:
            at = np.searchsorted(steps, points.step)
            value, null = np.zeros(len(steps)), np.ones(len(steps), np.bool_)
            value[at], null[at] = points.value, ~points.valid
            fields.append((name, pa.array(value, mask=null)))
        return pa.Table.from_arrays([column for _, column in fields], [name for name, _ in fields])

    # ------------------------------------------------------------------ gauges, events

    def long(self, table: str) -> pa.Table:
        """All rows of `gauges` or `model`: time, step, name, value, by time and name."""
        found = [
            read_parquet(self.paths.root, part.path, _LONG.names).select(_LONG.names).cast(_LONG)
            for part in self._parts(table)
        ]
        for writer in self.journal.writers.values():
            found += (_long_of(block) for block in writer.blocks(table))
        if not found:
            return _LONG.empty_table()
        return pa.concat_tables(found).sort_by([("time", "ascending"), ("name", "ascending")])

    def gauges(self) -> dict[tuple[str, str], Points]:
        """All gauges by (writer, name), each sorted by time: what a long table is too slow for."""
        found: dict[tuple[str, str], list[Points]] = {}
        for manifest in self.seals.in_force():
            for part in (part for part in manifest.parts if part.table == "gauges"):
                table = read_parquet(self.paths.root, part.path, _LONG.names)
                for name, points in _by_name(table):
                    found.setdefault((manifest.span.writer, name), []).append(points)
        for writer in self.journal.writers.values():
            for block in writer.blocks("gauges"):
                for index, name in enumerate(block.names):
                    points = Points.of_block(block, index)
                    found.setdefault((writer.writer, name), []).append(points)
        joined = {key: Points.concat(parts) for key, parts in found.items()}
        return {key: p.take(np.argsort(p.time_ms, kind="stable")) for key, p in joined.items()}

    def last_gauges(self) -> dict[tuple[str, str], tuple[int, float | None]]:
        """The newest reading of each gauge that is not sealed yet: time in ms, and value."""
        found: dict[tuple[str, str], tuple[int, float | None]] = {}
        for writer in self.journal.writers.values():
            for block in writer.blocks("gauges"):
                for index, name in enumerate(block.names):
                    points = Points.of_block(block, index)
                    at, value = int(points.time_ms[-1]), float(points.value[-1])
                    key = (writer.writer, name)
                    if key not in found or found[key][0] <= at:
                        found[key] = at, value if points.valid[-1] else None
        return found

    def model(self, *, superseded: bool = False) -> pa.Table:
        """All rows of `model` as `long` has them, in no order."""
        found: list[tuple[str, pa.Table]] = []
        for writer in self.writers():
            for part in self._parts("model", writer):
                table = read_parquet(self.paths.root, part.path, _LONG.names)
                found.append((writer, table.select(_LONG.names).cast(_LONG)))
            journal = self.journal.writers.get(writer)
            for block in () if journal is None else journal.blocks("model"):
                found.append((writer, _long_of(block)))
        if not superseded:
            found = list(self._not_superseded(found))
        return pa.concat_tables([_LONG.empty_table(), *(table for _, table in found)])

    def events(self) -> pa.Table:
        """All events by time: time, step, kind, text, fields (JSON)."""
        names = _EVENTS.names
        found = [
            read_parquet(self.paths.root, part.path, names).select(names).cast(_EVENTS)
            for part in self._parts("events")
        ]
        for writer in self.journal.writers.values():
            rows = [event_row(event) for _, event in writer.events]
            found.append(pa.Table.from_pylist(rows, _EVENTS))
        return pa.concat_tables(found).sort_by("time") if found else _EVENTS.empty_table()

    # ------------------------------------------------------------------ chosen sets

    def chosen_sets(self) -> list[str]:
        """Names of the chosen sets with inputs or observations."""
        found = {part.table for m in self.seals.in_force() for part in m.parts}
        names = {table.partition("/")[2] for table in found if "/" in table}
        for writer in self.journal.writers.values():
            for _, array in writer.arrays:
                names |= {n for t in ("chosen", "examples") if (n := set_of(array, t))}
        return sorted(names)

    def examples(self, chosen_set: str) -> pa.Table | None:
        """Inputs and targets of a chosen set; None when they were not recorded."""
        for part in self._parts(f"examples/{chosen_set}"):
            return read_parquet(self.paths.root, part.path)
        for table in self._arrays(chosen_set, "examples"):
            return table[1]
        return None

    def chosen(self, chosen_set: str, *, superseded: bool = False) -> pa.Table | None:
        """Observations by example and step; None when there are none.

        Where several ranks observed at a step, those of the lowest.
        """
        found: list[tuple[str, pa.Table]] = []
        for manifest in self.seals.in_force():
            for part in manifest.parts:
                if part.table == f"chosen/{chosen_set}":
                    table = read_parquet(self.paths.root, part.path).drop_columns("writer")
                    found.append((manifest.span.writer, table))
        found += self._arrays(chosen_set, "chosen")
        if not found:
            return None
        found.sort(key=lambda pair: self._order(pair[0]))
        if not superseded:
            found = list(self._not_superseded(self._once_a_step(found)))
        return unified([table for _, table in found]).sort_by(
            [("example", "ascending"), ("step", "ascending")]
        )

    def _arrays(self, chosen_set: str, table: str) -> Iterator[tuple[str, pa.Table]]:
        build = observation_table if table == "chosen" else examples_table
        for writer in self.journal.writers.values():
            for segment, array in writer.arrays:
                if set_of(array, table) == chosen_set:
                    try:
                        yield writer.writer, build(array)
                    except (ValueError, pa.ArrowException, OverflowError) as error:
                        path = self.paths.segment(writer.writer, segment)
                        line = f"{path}: record {array.seq} is no observation: {error}"
                        if line not in self.damage:
                            self.damage.append(line)

    def _once_a_step(self, tables: list[tuple[str, pa.Table]]) -> list[tuple[str, pa.Table]]:
        """Leave out what a rank observed that a lower one of the same attempt observed too.

        The tables are in order of their ranks.
        """
        owners: dict[tuple[int, Any], str] = {}
        found = []
        for writer, table in tables:
            attempt = self._attempt(writer)
            steps = pc.unique(table.column("step")).to_pylist()
            of_others = [s for s in steps if owners.setdefault((attempt, s), writer) != writer]
            others = pa.array(of_others, pa.int64())
            is_mine = pc.invert(pc.is_in(table.column("step"), value_set=others))
            found.append((writer, table.filter(is_mine) if of_others else table))
        return found

    def _not_superseded(self, tables: list[tuple[str, pa.Table]]) -> Iterator[tuple[str, pa.Table]]:
        first: dict[int, int] = {}
        for writer, table in tables:
            low = pc.min(table.column("step")).as_py()
            if low is not None:
                attempt = self._attempt(writer)
                first[attempt] = min(low, first.get(attempt, low))
        below = self._limits(first)
        for writer, table in tables:
            limit = below.get(self._attempt(writer), NEVER)
            step = table.column("step").fill_null(NO_STEP)
            is_valid = limit == NEVER
            yield writer, table if is_valid else table.filter(pc.less(step, limit))


def _by_name(table: pa.Table) -> Iterator[tuple[str, Points]]:
    """The rows of each name of a sealed part, where they lie side by side."""
    every = Points.of_table(table)
    names = pc.dictionary_encode(table.column("name")).combine_chunks()
    if isinstance(names, pa.ChunkedArray):  # as older versions of pyarrow return it
        names = pa.concat_arrays(names.chunks).dictionary_encode()
    code = names.indices.to_numpy()
    bounds = [0, *(np.flatnonzero(np.diff(code)) + 1).tolist(), len(code)]
    words = names.dictionary.to_pylist()
    for start, stop in pairwise(bounds):
        if stop > start:
            yield words[code[start]], every.cut(start, stop)


def _long_of(block: Block) -> pa.Table:
    """A journal's block as rows of time, step, name, value."""
    n, width = block.n, len(block.names)
    values = np.ascontiguousarray(block.values).reshape(-1)
    at = pa.array(np.tile(np.arange(width, dtype=np.int32), n))
    step = np.repeat(block.step, width)
    columns = {
        "time": pa.array(np.repeat(block.time_ns // 1_000_000, width)).cast(TIME),
        "step": pa.array(step, mask=step == NO_STEP),
        "name": pa.array(block.names, pa.string()).take(at),
        "value": pa.array(values, mask=is_null(values)),
    }
    return pa.table(columns, _LONG)


def event_row(event: Any) -> dict[str, Any]:
    """One event as a row of the events table."""
    fields = dict(event.fields)
    kind, text = fields.pop("kind", None), fields.pop("text", None)
    return {
        "time": event.time_ns // 1_000_000,
        "step": event.step,
        "kind": None if kind is None else str(kind),
        "text": None if text is None else str(text),
        "fields": json.dumps(fields, ensure_ascii=False),
    }
