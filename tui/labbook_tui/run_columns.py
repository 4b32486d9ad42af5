"""The columns of the runs table: which there are for a book, and what stands in them.

A column is named as filters and `labbook ls` name its field, so that a choice is kept by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from labbook.book.text import clean
from labbook_tui.fact_columns import FactColumns
from labbook_tui.fold_cells import FoldCells
from labbook_tui.folding import Fold, common, is_seed, members
from labbook_tui.marks import Marks
from labbook_tui.models import Glance, RunsModel
from labbook_tui.palette import Ink
from labbook_tui.series import is_loss, is_validation, lower_is_better
from labbook_tui.states import fold_mark, quiet_mark
from labbook_tui.table import Cell, Column
from labbook_tui.text import grouped
from labbook_tui.value_columns import SAMPLE, ValueColumns

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

    Row = RunSummary | Fold
    RunColumn = Column[Row]

__all__ = ["FROZEN", "RunColumns", "primary_series"]

FROZEN = 4
"""Mark, state, name and the dirty mark are always there."""
ARGUMENTS_FIRST = 12
SERIES_MOST = 6
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
    """Makes columns by name; `glances` and `marks` may grow while the columns stand.

    `cells` are kept from one model to the next.
    """

    def __init__(
        self,
        model: RunsModel,
        ink: Ink,
        marks: Marks,
        glances: Mapping[str, Glance],
        is_folded: bool = False,
        *,
        cells: FoldCells | None = None,
    ) -> None:
        self.model, self.ink, self.marks, self.glances = model, ink, marks, glances
        self.is_folded = is_folded
        self.primary = primary_series(model.series)[0][:1]
        cells = cells or FoldCells()
        cells.use(ink)
        self._facts = FactColumns(ink, cells)
        self._values = ValueColumns(model, ink, cells, "".join(self.primary), is_folded)
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
        if key == "spark":
            return self._spark()
        if key in {"lag", "gpu"}:
            return self._glanced(key)
        if key in FACTS:
            return self._facts.column(key)
        kind, _, name = key.partition(".")
        if kind in STATS and name in self.model.series:
            return self._values.series(kind, name)
        if key in self._metrics:
            return self._values.result(key, *self._metrics[key])
        if kind == "args" and name in self.model.fields.arguments:
            return self._values.argument(name)
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


def _is_dirty(row: Row) -> bool | None:
    found = [run.dirty for run in members(row)]
    if any(found):
        return True
    return None if any(files is None for files in found) else False


def _sparkline(values: tuple[float, ...], glyphs: str) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(glyphs) - 1) / (high - low) if high > low else 0.0
    return "".join(glyphs[round((value - low) * scale)] for value in values)
