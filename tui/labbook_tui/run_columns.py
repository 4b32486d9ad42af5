"""The columns of the runs table: which there are for a book, and what stands in them.

A column is named as filters and `labbook ls` name its field, so that a choice is kept by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from labbook.book.text import clean
from labbook_tui.folding import Fold, common, is_seed, members, spread
from labbook_tui.marks import Marks
from labbook_tui.models import Glance, RunsModel
from labbook_tui.palette import Ink
from labbook_tui.series import is_loss, is_validation, lower_is_better
from labbook_tui.states import age, fold_mark, last_step, quiet_mark, seconds_taken, silence, took
from labbook_tui.table import Cell, Column
from labbook_tui.text import ago, decimals, fixed, grouped, on_the_point, point_of, value_text

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

    Row = RunSummary | Fold
    RunColumn = Column[Row]

__all__ = ["FROZEN", "RunColumns", "primary_series"]

FROZEN = 4
"""Mark, state, name and the dirty mark are always there."""
ARGUMENTS_FIRST = 12
SERIES_MOST = 6
SAMPLE = 200
"""Rows that say how many decimals a column needs."""
STATS = ("last", "best", "min", "max")
FACTS = (
    "age", "spark", "step", "lag", "gpu", "silent", "took", "commit", "branch", "tags", "group",
    "host", "attempt", "checkpoints", "results", "faults", "id",
)  # fmt: skip


def primary_series(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Series for the first columns (validation loss, training loss, a metric), and the rest."""
    losses = [name for name in names if is_loss(name)]
    validation = [name for name in losses if is_validation(name)][:1]
    training = [name for name in losses if not is_validation(name)][:1]
    metrics = [n for n in names if not is_loss(n) and lower_is_better(n) is not None][:1]
    chosen = validation + training + metrics or list(names[:1])
    return chosen, [name for name in names if name not in chosen]


class RunColumns:
    """Makes columns by name; `glances` and `marks` may grow while the columns stand."""

    def __init__(
        self,
        model: RunsModel,
        ink: Ink,
        marks: Marks,
        glances: Mapping[str, Glance],
        is_folded: bool = False,
    ) -> None:
        self.model, self.ink, self.marks, self.glances = model, ink, marks, glances
        self.is_folded = is_folded
        self.primary = primary_series(model.series)[0][:1]
        self._metrics = {
            f"result.{name}.{metric}": (name, metric) for name, metric in model.metrics
        }

    def columns(self, chosen: list[str] | None) -> list[RunColumn]:
        """Those that are always there, then those chosen; None: what a book of this kind needs.

        A name that no run here has is left out.
        """
        keys = self.automatic() if chosen is None else chosen
        made = (self.column(key) for key in dict.fromkeys(keys))
        return [*self._fixed(), *(column for column in made if column is not None)]

    def automatic(self) -> list[str]:
        """Step, the loss and its best, what was varied, then the rest, the most telling first."""
        model = self.model
        first, rest = primary_series(model.series)
        keys = ["step", *(f"last.{name}" for name in first[:1])]
        keys += [f"best.{name}" for name in first[:1] if lower_is_better(name) is not None]
        varied = [name for name in model.differing if not is_seed(name)]
        varied += [n for n in model.differing if is_seed(n) and not self.is_folded]
        keys += [f"args.{name}" for name in varied[:1]]
        keys += [*[*self._metrics][:1], "age", *(f"args.{name}" for name in varied[1:2])]
        keys += [*[*self._metrics][1:4], *(["spark"] if first else [])]
        keys += ["lag"] if model.metrics else []
        keys += [f"last.{name}" for name in first[1:]]
        keys += [f"args.{name}" for name in varied[2:ARGUMENTS_FIRST]]
        keys += [f"last.{name}" for name in rest[: SERIES_MOST - len(first)]]
        keys += ["took", "commit"]
        keys += ["tags"] if any(run.tags for run in model.rows[:SAMPLE]) else []
        keys += ["host"] if len({run.host for run in model.rows}) > 1 else []
        return [*keys, "id"]

    def known(self) -> list[str]:
        """The names of all columns there are: facts, series, results, arguments."""
        model = self.model
        series = [
            f"{stat}.{name}"
            for name in model.series
            for stat in STATS
            if stat != "best" or lower_is_better(name) is not None
        ]
        arguments = [f"args.{name}" for name in sorted(model.fields.arguments)]
        return [*FACTS, *series, *self._metrics, *arguments]

    def column(self, key: str) -> RunColumn | None:
        """The column of that name; None when no run here has it."""
        if key in FACTS:
            return self._fact(key)
        kind, _, name = key.partition(".")
        if kind in STATS and name in self.model.series:
            return self._series(kind, name)
        if key in self._metrics:
            return self._result(key)
        if kind == "args" and name in self.model.fields.arguments:
            return self._argument(name)
        return None

    # ------------------------------------------------------------------ always there

    def _fixed(self) -> list[RunColumn]:
        ink, marks = self.ink, self.marks

        def mark(row: Row) -> Cell:
            if isinstance(row, Fold):
                letters = "".join(marks.letter(run.id) for run in row.runs)
                return (letters[:1] + ("…" if len(letters) > 1 else ""), ink.of("dim"))
            index = marks.index(row.id)
            star = "*" if marks.baseline == row.id else ""
            style = ink.of("text", "b") if index is None else ink.series(index, "b")
            return (marks.letter(row.id) or " " * len(star)) + star, style

        def state(row: Row) -> Cell:
            return fold_mark(row, ink) if isinstance(row, Fold) else quiet_mark(row, ink)

        def name(row: Row) -> Cell:
            inset = "  " if self.is_folded and not isinstance(row, Fold) else ""
            return inset + clean(row.name), ink.of("text", "b")

        def dirty(row: Row) -> Cell:
            is_dirty = any(run.dirty for run in members(row))
            return (ink.glyphs.dirty, ink.of("warn", "b")) if is_dirty else ("", None)

        return [
            Column("mark", "", mark, least=2, most=2, spacer=1),
            Column(
                "state", "state", state, by=lambda run: run.state,
                value=lambda row: common(row, lambda run: run.state),
            ),
            Column(
                "name", "name", name, most=28, least=12, spacer=1, by=lambda run: run.name,
                value=lambda row: clean(row.name),
            ),
            Column("dirty", "", dirty, least=1, value=_is_dirty),
        ]  # fmt: skip

    # ------------------------------------------------------------------ facts

    def _fact(self, key: str) -> RunColumn:
        dim = self.ink.of("dim")
        if key == "spark":
            return self._spark()
        if key in {"lag", "gpu"}:
            return self._glanced(key)
        if key == "age":
            return self._shown(
                "age", lambda run: (age(run), dim), lambda run: -(run.created_ns or 0), right=True,
                value=lambda run: run.created_ns, title="age", newest=True,
            )  # fmt: skip
        if key == "silent":
            return self._shown(
                key, lambda run: (_ago(silence(run)), dim), silence, right=True, title="silent"
            )
        if key == "took":
            return self._shown(key, lambda run: (took(run), dim), seconds_taken, right=True)
        counts: dict[str, Callable[[RunSummary], int | None]] = {
            "step": last_step,
            "checkpoints": lambda run: run.n_checkpoints,
            "results": lambda run: run.n_results,
            "faults": lambda run: sum(run.faults.values()),
            "attempt": lambda run: run.attempt,
        }
        if key in counts:
            count = counts[key]
            return self._shown(key, lambda run: _count(count(run), dim, key), count, right=True)
        texts: dict[str, Callable[[RunSummary], str | None]] = {
            "commit": lambda run: run.commit,
            "branch": lambda run: run.branch,
            "tags": lambda run: " ".join(run.tags) or None,
            "group": lambda run: run.group,
            "host": lambda run: run.host,
            "id": lambda run: run.id,
        }
        text, length = texts[key], 7 if key == "commit" else 32
        return self._shown(key, lambda run: (clean(text(run) or "–")[:length], dim), text, most=32)

    def _shown(
        self,
        key: str,
        cell: Callable[[RunSummary], Cell],
        sort: Callable[[RunSummary], Any],
        *,
        right: bool = False,
        most: int = 24,
        title: str = "",
        value: Callable[[RunSummary], Any] | None = None,
        newest: bool = False,
    ) -> RunColumn:
        """A column of a fact: a fold shows it where all its runs have the same."""
        dim = self.ink.of("dim")

        def of_row(row: Row) -> Cell:
            if not isinstance(row, Fold):
                return cell(row)
            if newest:
                return cell(max(row.runs, key=lambda run: run.created_ns or 0))
            shown = {cell(run)[0] for run in row.runs}
            return cell(row.runs[0]) if len(shown) == 1 else ("", dim)

        real = value or sort
        return Column(
            key, title or key, of_row, right=right, most=most, least=3, by=sort,
            value=lambda row: None if isinstance(row, Fold) and newest else common(row, real),
        )  # fmt: skip

    # ------------------------------------------------------------------ glances

    def _glance(self, row: Row) -> Glance:
        return Glance() if isinstance(row, Fold) else self.glances.get(row.id, Glance())

    def _spark(self) -> RunColumn:
        ink = self.ink

        def cell(row: Row) -> Cell:
            return _sparkline(self._glance(row).spark, ink.glyphs.spark), ink.of("dim")

        return Column("spark", "trend", cell, least=8, most=8)

    def _glanced(self, key: str) -> RunColumn:
        dim, warn = self.ink.of("dim"), self.ink.of("warn")

        def lag(row: Row) -> Cell:
            found = self._glance(row)
            if found.lag is None:
                return (f"{found.waiting} waiting", dim) if found.waiting else ("", dim)
            return grouped(found.lag), warn if found.lag else dim

        def gpu(row: Row) -> Cell:
            found = self._glance(row).gpu
            return ("", dim) if found is None else (f"{found:.0f}%", None)

        cell, value = (lag, lambda r: self._glance(r).lag) if key == "lag" else (
            gpu, lambda r: self._glance(r).gpu
        )  # fmt: skip
        return Column(key, "eval lag" if key == "lag" else key, cell, right=True, value=value)

    # ------------------------------------------------------------------ numbers

    def _series(self, stat: str, name: str) -> RunColumn:
        field = stat
        if stat == "best":
            field = "min" if lower_is_better(name) else "max"

        def get(run: RunSummary) -> float | None:
            found = run.stats.get(name)
            return getattr(found, field) if found else None

        title = clean(name) if stat == "last" else f"{stat} {clean(name)}"
        if stat == "best" and [name] == self.primary:
            title = "best"
        like = self.model.fields.series[name]["last"].get
        places = decimals(like(run) for run in self.model.rows[:SAMPLE])
        return self._number(f"{stat}.{name}", title, get, places)

    def _result(self, key: str) -> RunColumn:
        evaluation, metric = self._metrics[key]

        def get(run: RunSummary) -> float | None:
            return run.results.get(evaluation, {}).get(metric)

        title = clean(metric)
        if len({name for name, _ in self.model.metrics}) > 1:
            title = f"{clean(evaluation)[:10]} {title}"
        elif metric in self.model.series:
            title = f"eval {title}"
        return self._number(key, title, get, decimals(get(run) for run in self.model.rows[:SAMPLE]))

    def _number(
        self, key: str, title: str, get: Callable[[RunSummary], float | None], places: int
    ) -> RunColumn:
        """Values on the point; a fold has their mean, deviation, and how many when not all have."""
        dim, bad = self.ink.of("dim"), self.ink.of("bad")
        places = max(places, 1) if self.is_folded else places  # a mean of counts has a fraction
        tail = " " * (places + 4) if self.is_folded else ""  # as wide as ` ±0.12`

        def cell(row: Row) -> Cell:
            if isinstance(row, Fold):
                return of_fold(row)
            found = get(row)
            style = dim if found is None else bad if math.isnan(found) else None
            return fixed(found, places) + tail, style

        def of_fold(row: Fold) -> Cell:
            found = spread([get(run) for run in row.runs])
            if found is None:
                return "–" + tail, dim
            around = "" if found.deviation is None else f" ±{found.deviation:.{places}f}"
            count = "" if found.count == len(row.runs) else f" n={found.count}"
            style = bad if math.isnan(found.mean) else None
            return fixed(found.mean, places) + around.ljust(len(tail)) + count, style

        most = 30 if self.is_folded else 16
        return Column(
            key, title, cell, right=True, most=most, least=5, by=get,
            value=lambda row: _mean(row, get),
        )  # fmt: skip

    def _argument(self, name: str) -> RunColumn:
        dim = self.ink.of("dim")
        sample = [run.arguments[name] for run in self.model.rows[:SAMPLE] if name in run.arguments]
        is_number = bool(sample) and all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in sample
        )
        places = max((point_of(value_text(v)) for v in sample), default=0) if is_number else 0

        def get(run: RunSummary) -> Any:
            return run.arguments.get(name)

        def of_run(run: RunSummary) -> Cell:
            if name not in run.arguments:
                return "–", dim
            text = clean(value_text(run.arguments[name]))
            return (on_the_point(text, places) if is_number else text), None

        def cell(row: Row) -> Cell:
            if not isinstance(row, Fold):
                return of_run(row)
            shown = [of_run(run) for run in row.runs]
            return shown[0] if len({text for text, _ in shown}) == 1 else ("", dim)

        return Column(
            f"args.{name}", self._short(name), cell, right=is_number, most=16, by=get,
            value=lambda row: _alike(row, get),
        )  # fmt: skip

    def _short(self, name: str) -> str:
        """The last part of an argument's name where no other argument shown ends so."""
        leaf = name.rsplit(".", 1)[-1]
        others = {*self.model.differing, name}
        is_unique = sum(other.rsplit(".", 1)[-1] == leaf for other in others) == 1
        return clean(leaf if is_unique else name)


def _is_dirty(row: Row) -> bool | None:
    found = [run.dirty for run in members(row)]
    if any(found):
        return True
    return None if any(files is None for files in found) else False


def _mean(row: Row, get: Callable[[RunSummary], float | None]) -> float | None:
    if not isinstance(row, Fold):
        return get(row)
    found = spread([get(run) for run in row.runs])
    return found.mean if found else None


def _alike(row: Row, get: Callable[[RunSummary], Any]) -> Any:
    """What all runs of a row have; None where they differ: the mean of arguments says nothing."""
    values = [get(run) for run in members(row)]
    return values[0] if all(value == values[0] for value in values) else None


def _ago(seconds: float | None) -> str:
    return "–" if seconds is None else ago(seconds)


def _count(count: int | None, dim: Any, key: str) -> Cell:
    if count is None:
        return "–", dim
    return grouped(count), dim if count == 0 and key != "step" else None


def _sparkline(values: tuple[float, ...], glyphs: str) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(glyphs) - 1) / (high - low) if high > low else 0.0
    return "".join(glyphs[round((value - low) * scale)] for value in values)
