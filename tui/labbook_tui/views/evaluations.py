"""Evaluations: checkpoints × metrics with standard errors, the best marked, and their curve."""

from __future__ import annotations

import shlex
from typing import Any, ClassVar

from textual.binding import BindingType

from labbook_tui.lines import Line
from labbook_tui.models import CheckpointRow, EvaluationsModel, Want
from labbook_tui.shown import Shown
from labbook_tui.text import grouped
from labbook_tui.views.base import MOVES, View
from labbook_tui.views.evaluation_about import about_lines, curve_lines, metric_curve
from labbook_tui.views.evaluation_table import EvaluationTable, Pair
from labbook_tui.views.watchers import watcher_lines, watcher_page

__all__ = ["EvaluationsView"]


class EvaluationsView(View):
    """Rows are checkpoints, newest first; the curve below is of the chosen metric."""

    KIND = "evaluations"
    NAME = "Evals"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("j k", "checkpoint"),
        ("enter", "by example"),
        ("space", "pick"),
        ("h l", "metric"),
        ("b", "to the best"),
        ("r", "command"),
        ("w", "watchers"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("h l", "metric"),
        ("b", "to the best checkpoint by it"),
        ("enter", "its examples, the worst first"),
        ("space", "pick it, to compare another with (v there)"),
        ("r", "the command that evaluates it; y copies it"),
        ("w", "all watchers and their workers, esc back"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVES,
        ("h,left", "metric(-1)", "previous metric"),
        ("l,right", "metric(1)", "next metric"),
        ("b", "best", "go to the best checkpoint"),
        ("enter", "open", "its examples"),
        ("space", "pick", "pick to compare with"),
        ("r", "command", "the command that evaluates it"),
        ("w", "watchers", "all watchers"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: EvaluationsModel | None = None
        self.cursor = self.top = 0
        self.chosen: Pair | None = None
        self.picked = ""
        self.told = ""
        self.is_listing = False
        self._first = 0  # line of the list of watchers

    def want(self, run_id: str) -> Want:
        """The differences of the chosen metric are read with the rest."""
        return Want(self.KIND, run_id, self.chosen or ())

    def accept(self, model: object) -> None:
        """Keep the model; the cursor stays on its checkpoint."""
        if not isinstance(model, EvaluationsModel):
            return
        old = self.model.rows[self.cursor] if self.model and self.model.rows else None
        self.model = model
        if old is not None and self.cursor:
            same = [
                i
                for i, row in enumerate(model.rows)
                if (row.step, row.file) == (old.step, old.file)
            ]
            self.cursor = same[0] if same else min(self.cursor, max(0, len(model.rows) - 1))

    @property
    def pair(self) -> Pair | None:
        """The metric that is shown first: the chosen one, where the run has it."""
        metrics = self.model.metrics if self.model else ()
        return self.chosen if self.chosen in metrics else metrics[0] if metrics else None

    def draw(self, width: int, height: int) -> list[Line]:
        """Table above, curve below, and a line about the checkpoint under the cursor."""
        model, ink = self.model, self.ink
        if model is None:
            return self.waiting()
        if self.is_listing:
            return self._listed(model, width, height)
        if not model.rows:
            return self.note("no checkpoints: run.save(model.state_dict(), step=step) writes one")
        head = watcher_lines(model.watchers, width, ink)
        about = about_lines(
            model, model.rows[self.cursor], self.told, (width, 3 if height < 24 else 8), ink
        )
        pair = self.pair
        has_curve = height >= 14 and pair is not None
        least = min(len(model.rows) + 1, 4)
        most = max(least, (height * 60 // 100 if has_curve else height) - len(head) - len(about))
        lines = [*head, *self._table(model, width, most), *about]
        if has_curve and pair is not None and height - len(lines) >= 7:
            lines += curve_lines(model, pair, width, height - len(lines), ink)
        return lines

    def _table(self, model: EvaluationsModel, width: int, height: int) -> list[Line]:
        rows = max(1, height - 1)
        self.top = min(max(self.top, self.cursor - rows + 1), self.cursor)
        table = EvaluationTable(model, self.pair, self.picked, width, self.ink)
        return table.lines(range(self.top, min(len(model.rows), self.top + rows)), self.cursor)

    def _listed(self, model: EvaluationsModel, width: int, height: int) -> list[Line]:
        """The page of the watchers."""
        lines = watcher_page(model.watchers, width, self.ink)
        if not lines:
            return self.note("nobody watches this book: labbook watch evaluation.py does")
        self._first = min(max(0, self._first), max(0, len(lines) - height))
        return lines[self._first : self._first + height]

    def action_move(self, by: int) -> None:
        """To another checkpoint; down the list of watchers."""
        if self.is_listing:
            self._first = max(0, self._first + by)
            self.redraw()
            return
        rows = len(self.model.rows) if self.model else 0
        self.cursor = min(max(0, self.cursor + by), max(0, rows - 1))
        self.told = ""
        self.redraw()

    def action_page(self, by: int) -> None:
        """By ten checkpoints."""
        self.action_move(10 * by)

    def action_ends(self, last: int) -> None:
        """Newest or oldest."""
        self.action_move(10**9 if last else -(10**9))

    def action_metric(self, by: int) -> None:
        """Another metric."""
        metrics = self.model.metrics if self.model else ()
        if self.pair is None or self.is_listing:
            return
        self.chosen = metrics[(metrics.index(self.pair) + by) % len(metrics)]
        self.redraw()
        ask = getattr(self.screen, "ask", None)
        if ask is not None:
            ask()

    def action_best(self) -> None:
        """To the best checkpoint by the chosen metric."""
        best = self.model.best.get(self.pair) if self.model and self.pair else None
        if best is not None:
            self.cursor, self.told = best, ""
            self.redraw()

    def action_open(self) -> None:
        """The examples of the checkpoint under the cursor, by the chosen evaluation."""
        model, row = self.model, self.current
        if self.is_listing or model is None or row is None or self.pair is None:
            return
        lane = self.pair[0]
        if lane not in row.outcomes:
            self.told = self._command(row)
            self.redraw()
            return
        from labbook_tui.screens.checkpoint import CheckpointScreen

        here = row.outcomes[lane].key
        held = [(at, r) for at, r in enumerate(model.rows) if lane in r.outcomes]
        older = [r for at, r in held if at > self.cursor]
        best = model.best.get(self.pair)
        wanted = [("previous", older[0])] if older else []
        wanted += [("best", model.rows[best])] if best is not None else []
        wanted += [("picked", r) for _, r in held if r.file == self.picked]
        others = {r.outcomes[lane].key: f"{word}, {_step_of(r)}" for word, r in reversed(wanted)}
        others.pop(here, None)
        order = list(reversed(others.items()))
        self.app.push_screen(
            CheckpointScreen(model.summary.id, lane.removesuffix("*"), here, order)
        )

    def action_pick(self) -> None:
        """Pick the checkpoint under the cursor, or let it go."""
        row = self.current
        if row is not None:
            self.picked = "" if row.file == self.picked else row.file
            self.redraw()

    def action_command(self) -> None:
        """Show the command that evaluates the checkpoint; nothing is run from here."""
        row = self.current
        if row is not None:
            self.told = "" if self.told else self._command(row)
            self.redraw()

    def action_watchers(self) -> None:
        """All watchers, or the checkpoints again."""
        self.is_listing, self._first = not self.is_listing, 0
        self.redraw()

    def close(self) -> bool:
        """Out of the list of watchers."""
        was_listing, self.is_listing = self.is_listing, False
        self.redraw()
        return was_listing

    def _command(self, row: CheckpointRow) -> str:
        return "labbook evaluate " + shlex.quote(row.path or row.file)

    @property
    def current(self) -> CheckpointRow | None:
        """The checkpoint under the cursor."""
        rows = self.model.rows if self.model else ()
        return rows[self.cursor] if self.cursor < len(rows) else None

    def copied(self) -> str:
        """The command if it is shown, else the checkpoint's file."""
        row = self.current
        return self.told or ((row.path or row.file) if row else "")

    def shown(self) -> Shown | None:
        """Every checkpoint with every metric and its standard error."""
        model = self.model
        if model is None or not model.rows:
            return None
        names = [f"{lane}.{metric}" for lane, metric in model.metrics]
        columns = ["step", "file", *(n + end for n in names for end in ("", ".stderr")), "reason"]
        rows = []
        for row in model.rows:
            values: list[object] = []
            for lane, metric in model.metrics:
                outcome = row.outcomes.get(lane)
                parts = (outcome.metrics, outcome.stderr) if outcome else ({}, {})
                values += [part.get(metric) for part in parts]
            rows.append((row.step, row.file, *values, row.reason))
        curves = (metric_curve(model, self.pair),) if self.pair else ()
        return Shown("evaluations", tuple(columns), rows, "evaluations", "step", curves)

    def remembered(self) -> dict[str, Any]:
        """The chosen metric."""
        return {"metric": list(self.chosen)} if self.chosen else {}

    def recall(self, memory: dict[str, Any]) -> None:
        """The chosen metric; a run without it shows its first."""
        kept = memory.get("metric")
        if isinstance(kept, list) and [type(part) for part in kept] == [str, str]:
            self.chosen = (kept[0], kept[1])


def _step_of(row: CheckpointRow) -> str:
    return f"step {grouped(row.step)}" if row.step is not None else row.file
