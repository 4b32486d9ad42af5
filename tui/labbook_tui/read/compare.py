"""Runs side by side: their curves, what differs between them, and how their results compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labbook.book.text import clean
from labbook.errors import LabbookError
from labbook_tui.models import CompareModel, DifferenceRow, MeasureRow, Want
from labbook_tui.read.curves import result_curves, series_curve
from labbook_tui.series import ordered
from labbook_tui.text import value_text

if TYPE_CHECKING:
    from labbook.book.reading import Book
    from labbook.book.runreader import RunReader
    from labbook.compare import Difference

__all__ = ["build"]

MOST_PATCH_LINES = 5_000


def build(book: Book, want: Want, before: object) -> CompareModel:
    """`want.detail` is the series drawn ("" for the first one), then the ids of the runs."""
    shown, *ids = want.detail
    readers = [book.run(run_id) for run_id in ids]
    for reader in readers:
        reader.refresh()
    names = _names(readers)
    name = shown if shown in names else (names[0] if names else "")
    stamp = tuple((reader.id, reader.state.name, _last(reader)) for reader in readers)
    if isinstance(before, CompareModel) and before.stamp == stamp and before.name == name:
        return before
    curves = {reader.id: curve for reader in readers if (curve := _curve(reader, name))}
    runs = tuple(reader.summary() for reader in readers)
    if len(readers) == 2:
        from labbook import compare

        found = compare.diff(*readers)
        rows, patch = _changes(found), _patch(found)
        measures, headline, is_warning = _measures(found), found.headline, found.is_warning
        notes = tuple(clean(note) for note in found.results.notes)
    else:
        rows, headline, is_warning = _table(readers)
        patch, measures, notes = (), (), ()
    return CompareModel(
        stamp, runs, names, name, curves, clean(headline), is_warning, rows, patch, measures, notes
    )


def _last(reader: RunReader) -> int:
    return max((stat.step or 0 for stat in reader.summary().stats.values()), default=0)


def _names(readers: list[RunReader]) -> tuple[str, ...]:
    """Series and metrics, those of all runs before those that some lack."""
    found = [{*reader.names(), *result_curves(reader)} for reader in readers]
    everything = ordered(set().union(*found)) if found else []
    return tuple(sorted(everything, key=lambda name: not all(name in each for each in found)))


def _curve(reader: RunReader, name: str) -> Any:
    if name in reader.names():
        return series_curve(reader, name)
    return result_curves(reader).get(name)


def _changes(found: Difference) -> tuple[DifferenceRow, ...]:
    rows = []
    for section in found.sections:
        if section.unknown:
            rows.append(DifferenceRow(section.title, "not known", (clean(section.unknown),)))
        rows += [
            DifferenceRow(section.title, clean(item.name), (_value(item.a), _value(item.b)))
            for item in section.items
            if not item.name.startswith("state.")  # of the random generators: told in the headline
        ]
    code = found.code
    sides = [
        ((commit or "no commit")[:10] + (f" + {dirty} dirty" if dirty else ""))
        for commit, dirty in ((code.commit_a, code.dirty_a), (code.commit_b, code.dirty_b))
    ]
    if code.is_changed:
        rows.append(DifferenceRow("Code", "commit", (sides[0], sides[1])))
    elif code.unknown:
        rows.append(DifferenceRow("Code", "not known", (clean(code.unknown),)))
    for file in code.files:
        lines = "" if file.added is None else f"+{file.added} -{file.removed}"
        rows.append(DifferenceRow("Code", clean(file.path), (clean(file.status), lines)))
    return tuple(rows)


def _value(value: Any) -> str:
    return "–" if value is None else clean(value_text(value))


def _patch(found: Difference) -> tuple[str, ...]:
    try:
        text = found.code.patch()
    except LabbookError as error:
        return (f"the code cannot be compared: {error}",)
    return tuple(clean(line) for line in text.split("\n")[:MOST_PATCH_LINES])


def _measures(found: Difference) -> tuple[MeasureRow, ...]:
    """Results over the same examples first, each with its paired interval; then last values."""
    rows = []
    paired = {(pair.name, pair.column): pair for pair in found.results.paired}
    for metric in found.results.metrics:
        pair = paired.pop((metric.evaluation, metric.metric), None)
        interval = None if pair is None else pair.interval
        mini = {metric.subset_a, metric.subset_b} - {"full", None}
        rows.append(
            MeasureRow(
                clean(f"{metric.evaluation}.{metric.metric}") + (" (mini)" if mini else ""),
                metric.a, metric.b,
                None if interval is None else interval.low,
                None if interval is None else interval.high,
                None if interval is None else interval.n,
                clean((pair.caveat if pair else None) or ""),
            )
        )  # fmt: skip
    for pair in paired.values():
        interval = pair.interval
        rows.append(
            MeasureRow(
                clean(f"{pair.name}.{pair.column}"), interval.mean_a, interval.mean_b,
                interval.low, interval.high, interval.n, clean(pair.caveat or ""),
            )
        )  # fmt: skip
    for series in found.results.series:
        a, b = (None if stat is None else stat.last for stat in (series.a, series.b))
        rows.append(MeasureRow(f"{clean(series.name)}, last", a, b))
    return tuple(rows)


def _table(readers: list[RunReader]) -> tuple[tuple[DifferenceRow, ...], str, bool]:
    from labbook import compare

    found = compare.table(readers)
    rows = [
        DifferenceRow(
            section.capitalize(),
            clean(row.name),
            tuple(
                _value(value) if there else "–"
                for value, there in zip(row.values, row.is_there, strict=True)
            ),
        )
        for section, listed in (("", found.rows), ("results", found.results))
        for row in listed
        for section in [row.section]
    ]
    return tuple(rows), found.headline, not found.headline.startswith(("nothing", "one thing"))
