"""Three or more runs: a table of what differs, one row a thing, one column a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.compare.changes import DEFINING, HARDWARE, steers
from labbook.compare.difference import Side
from labbook.compare.recorded import SECTIONS, Recorded
from labbook.compare.values import same

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["Row", "Table", "table"]


@dataclass(frozen=True)
class Row:
    """One thing, and its value in each run; `is_there` tells a null from none at all."""

    section: str
    name: str
    values: tuple[Any, ...]
    is_there: tuple[bool, ...]


@dataclass(frozen=True)
class Table:
    """Runs side by side: what differs, and the results, which always do."""

    runs: tuple[Side, ...]
    rows: tuple[Row, ...]
    results: tuple[Row, ...]

    @property
    def headline(self) -> str:
        """One line: how many things differ, and in which sections."""
        names = list(dict.fromkeys(name for row in self._causes() if (name := _thing(row))))
        things = f"{len(names)} things differ" if len(names) != 1 else "one thing differs"
        if not names:
            return f"nothing differs among {len(self.runs)} runs"
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        return f"{things} among {len(self.runs)} runs: {', '.join(names[:8])}{more}"

    def _causes(self) -> list[Row]:
        """The rows that do not follow from others: a net follows from what defines it, what the
        model was given from anything."""
        rows = [row for row in self.rows if _thing(row)]
        if any(row.section in DEFINING for row in rows):
            rows = [row for row in rows if row.section != "model"]
        others = [row for row in rows if row.section != "given"]
        return others or rows


def _thing(row: Row) -> str | None:
    """What a row counts as, by the rules of `labbook.compare.changes`; None when as nothing."""
    if row.section == "seeds" or (row.section == "code" and row.name != "code"):
        return None
    if row.section == "machine":
        return "machine" if row.name in HARDWARE else None
    return (
        row.section if row.section in {"packages", "python", "environment", "model"} else row.name
    )


def table(runs: Sequence[RunReader]) -> Table:
    """Compare any number of runs."""
    recorded = [Recorded.of(run.facts).with_given(run.facts) for run in runs]
    rows = [row for row in _conditions(recorded) if _differs(row)]
    return Table(tuple(map(Side.of, runs)), tuple(rows), tuple(_results(runs)))


def _conditions(recorded: Sequence[Recorded]) -> Iterator[Row]:
    yield from _section("arguments", recorded)
    yield _row("code", "commit", [r.git.commit and r.git.commit[:10] for r in recorded])
    dirty = [None if r.git.dirty is None else len(r.git.dirty) for r in recorded]
    yield _row("code", "dirty files", dirty)
    yield _row("code", "code", _labels([r.code.identity for r in recorded]))
    for name in SECTIONS:
        if name == "environment":
            yield from (row for row in _section(name, recorded) if steers(row.name))
        elif name == "seeds":
            yield from (
                row for row in _section(name, recorded) if not row.name.startswith("state.")
            )
        elif name != "arguments":
            yield from _section(name, recorded)


def _labels(identities: Sequence[Any]) -> list[str | None]:
    """The first 10 digits of each tree; a letter more where trees are equal and bytes are not."""
    kinds: dict[str, list[Any]] = {}
    labels: list[str | None] = []
    for identity in identities:
        if identity is None:
            labels.append(None)
            continue
        tree = str(identity[0])[:10]
        known = kinds.setdefault(tree, [])
        if identity not in known:
            known.append(identity)
        at = known.index(identity)
        labels.append(tree if at == 0 else f"{tree}+{at}")
    return labels


def _section(name: str, recorded: Sequence[Recorded]) -> Iterator[Row]:
    parts = [r.sections[name] or {} for r in recorded]
    for key in dict.fromkeys(key for part in parts for key in part):
        yield Row(
            name,
            key,
            tuple(part.get(key) for part in parts),
            tuple(key in part for part in parts),
        )


def _row(section: str, name: str, values: Iterable[Any]) -> Row:
    found = tuple(values)
    return Row(section, name, found, tuple(value is not None for value in found))


def _differs(row: Row) -> bool:
    first = row.values[0]
    return len(set(row.is_there)) > 1 or not all(same(first, value) for value in row.values)


def _results(runs: Sequence[RunReader]) -> Iterator[Row]:
    summaries = [run.summary() for run in runs]
    for name in sorted({name for summary in summaries for name in summary.stats}):
        stats = [summary.stats.get(name) for summary in summaries]
        yield _row("results", f"last {name}", [stat and stat.last for stat in stats])
        yield _row("results", f"min {name}", [stat and stat.min for stat in stats])
        yield _row("results", f"max {name}", [stat and stat.max for stat in stats])
    metrics = sorted(
        {
            (evaluation, metric)
            for summary in summaries
            for evaluation, found in summary.results.items()
            for metric in found
        }
    )
    for evaluation, metric in metrics:
        values = [summary.results.get(evaluation, {}).get(metric) for summary in summaries]
        yield _row("results", f"{evaluation}.{metric}", values)
