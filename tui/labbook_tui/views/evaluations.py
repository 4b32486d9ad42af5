"""Evaluations: checkpoints × metrics with standard errors, the best marked, and their curve."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from textual.binding import BindingType

from labbook_tui.chart import ChartOptions, draw_chart
from labbook_tui.curve import Curve
from labbook_tui.lines import Line, fit, rule, under
from labbook_tui.models import CheckpointRow, EvaluationsModel
from labbook_tui.palette import Ink, seg
from labbook_tui.states import now_ns
from labbook_tui.text import ago, bytes_text, cut, decimals, fixed, grouped, number, pad, plural
from labbook_tui.views.base import MOVES, View

__all__ = ["EvaluationsView", "metric_curve", "result_text"]

Pair = tuple[str, str]


class EvaluationsView(View):
    """Rows are checkpoints, newest first; the curve below is of the chosen metric."""

    KIND = "evaluations"
    NAME = "Evals"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("j k", "checkpoint"),
        ("h l", "metric"),
        ("b", "to the best"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("h l", "metric"),
        ("b", "to the best checkpoint by it"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVES,
        ("h,left", "metric(-1)", "previous metric"),
        ("l,right", "metric(1)", "next metric"),
        ("b", "best", "go to the best checkpoint"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: EvaluationsModel | None = None
        self.cursor = self.top = self.metric = 0

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
        """The chosen metric."""
        metrics = self.model.metrics if self.model else ()
        return metrics[min(self.metric, len(metrics) - 1)] if metrics else None

    def draw(self, width: int, height: int) -> list[Line]:
        """Table above, curve below, and a line about the checkpoint under the cursor."""
        model = self.model
        if model is None:
            return self.waiting()
        if not model.rows:
            return self.note("no checkpoints: run.save(model.state_dict(), step=step) writes one")
        has_curve = height >= 14 and self.pair is not None
        most = height * 55 // 100 if has_curve else height
        table = self._table(model, width, most - 3)
        lines = [*table, [], *self._about(model, width)]
        if has_curve:
            lines += self._curve(model, width, height - len(lines))
        return lines

    def _table(self, model: EvaluationsModel, width: int, height: int) -> list[Line]:
        ink, rows = self.ink, max(1, height - 1)
        self.top = min(max(self.top, self.cursor - rows + 1), self.cursor)
        metrics = self._visible(model, width)
        several = len({name for name, _ in model.metrics}) > 1
        widths = {pair: self._width(model, pair, several) for pair in metrics}
        head: Line = [seg(f"   {'step':>9}  {'age':>4}  ", ink.of("dim"))]
        for pair in metrics:
            title = f"{pair[0]}.{pair[1]}" if several else pair[1]
            style = ink.of("accent", "b") if pair == self.pair else ink.of("dim")
            head += [seg(pad(title, widths[pair], right=True) + "   ", style)]
        head.append(seg("examples", ink.of("dim")))
        lines = [head]
        for place in range(self.top, min(len(model.rows), self.top + rows)):
            line = self._row(model, place, metrics, widths)
            lines.append(under(fit(line, width), ink.cursor) if place == self.cursor else line)
        return lines

    def _visible(self, model: EvaluationsModel, width: int) -> list[Pair]:
        """As many metrics as fit, the chosen one among them."""
        most = max(1, (width - 34) // 20)
        start = max(0, min(self.metric - most + 1, len(model.metrics) - most))
        return list(model.metrics[start : start + most])

    def _width(self, model: EvaluationsModel, pair: Pair, several: bool) -> int:
        texts = [len(result_text(row, pair, self._places(model, pair))) for row in model.rows]
        title = len(pair[1]) + (len(pair[0]) + 1 if several else 0)
        return min(24, max([title, *texts]))

    @staticmethod
    def _places(model: EvaluationsModel, pair: Pair) -> int:
        values = [
            r.outcomes[pair[0]].metrics.get(pair[1]) for r in model.rows if pair[0] in r.outcomes
        ]
        return decimals(values)

    def _row(
        self, model: EvaluationsModel, place: int, metrics: list[Pair], widths: dict[Pair, int]
    ) -> Line:
        ink, row = self.ink, model.rows[place]
        step = grouped(row.step) if row.step is not None else "–"
        age = ago((now_ns() - row.time_ns) / 1e9) if row.time_ns else "–"
        line: Line = [
            seg(f"   {step:>9}  ", ink.of("text", "b")),
            seg(f"{age:>4}  ", ink.of("dim")),
        ]
        if not row.outcomes:
            meaning = "bad" if row.reason.startswith("failed") else "warn"
            line.append(seg(row.reason, ink.of(meaning if row.reason[:6] != "no res" else "dim")))
            return line
        for pair in metrics:
            is_best = model.best.get(pair) == place
            text = result_text(row, pair, self._places(model, pair))
            mark = ink.glyphs.best if is_best else " "
            style = ink.of("good", "b") if is_best else None if text != "–" else ink.of("dim")
            line += [
                seg(pad(text, widths[pair], right=True), style),
                seg(f" {mark} ", ink.of("good")),
            ]
        return [*line, *_coverage(row, ink)]

    def _about(self, model: EvaluationsModel, width: int) -> list[Line]:
        """Two lines: the checkpoint, and what is to be said against its results."""
        ink, row = self.ink, model.rows[self.cursor]
        line = [
            seg(f" {row.file}", ink.of("text")),
            seg(f"  {bytes_text(row.size) if row.size else ''}", ink.of("dim")),
        ]
        warnings = [text for o in row.outcomes.values() for text in o.warnings]
        broken = sum(o.nonfinite for o in row.outcomes.values())
        if broken:
            warnings.insert(0, plural(broken, "value") + " not finite, left out of the means")
        if row.outcomes and row.reason:
            warnings.append(row.reason)
        second: Line = [
            seg(" " + cut(f"{ink.glyphs.dirty} " + "; ".join(warnings), width - 2), ink.of("warn"))
        ]
        return [line, second if warnings else []]

    def _curve(self, model: EvaluationsModel, width: int, height: int) -> list[Line]:
        pair, ink = self.pair, self.ink
        if pair is None:
            return []
        evaluation = metric_curve(model, pair)
        curves = [*(c for c in model.training if pair == model.metrics[0]), evaluation]
        options = ChartOptions(live=model.summary.state == "running")
        title = "" if len(curves) > 1 else evaluation.name
        body = draw_chart(title, curves, (width, height - 1), ink, options)
        best = model.best.get(pair)
        words: Line = [seg(evaluation.name, ink.of("text", "b"))]
        if best is not None:
            row = model.rows[best]
            text = result_text(row, pair, self._places(model, pair))
            words.append(seg(f"  best {text} at step {grouped(row.step or 0)}", ink.of("good")))
        return [rule(words, width, ink), *body]

    def action_move(self, by: int) -> None:
        """To another checkpoint."""
        rows = len(self.model.rows) if self.model else 0
        self.cursor = min(max(0, self.cursor + by), max(0, rows - 1))
        self.redraw()

    def action_page(self, by: int) -> None:
        """By ten checkpoints."""
        self.action_move(10 * by)

    def action_ends(self, last: int) -> None:
        """Newest or oldest."""
        self.action_move(10**9 if last else -(10**9))

    def action_metric(self, by: int) -> None:
        """Another metric."""
        count = len(self.model.metrics) if self.model else 0
        if count:
            self.metric = (min(self.metric, count - 1) + by) % count
            self.redraw()

    def action_best(self) -> None:
        """To the best checkpoint by the chosen metric."""
        best = self.model.best.get(self.pair) if self.model and self.pair else None
        if best is not None:
            self.cursor = best
            self.redraw()


def result_text(row: CheckpointRow, pair: Pair, places: int) -> str:
    """`0.9512 ±0.0049`; `–` where there is no result."""
    outcome = row.outcomes.get(pair[0])
    if outcome is None or pair[1] not in outcome.metrics:
        return "–"
    value, error = outcome.metrics[pair[1]], outcome.stderr.get(pair[1])
    text = fixed(value, places)
    return text if error is None or math.isnan(error) else f"{text} ±{fixed(error, places)}"


def _coverage(row: CheckpointRow, ink: Ink) -> Line:
    """How many examples each evaluation saw; anything but all of them is said."""
    line: Line = []
    for outcome in row.outcomes.values():
        line.append(
            seg("–" if outcome.n_examples is None else grouped(outcome.n_examples), ink.of("dim"))
        )
        if outcome.subset != "full":
            line.append(seg(f" {outcome.subset}", ink.of("warn")))
        if outcome.coverage != "complete":
            line.append(seg(f" {outcome.coverage}", ink.of("warn")))
        if outcome.nonfinite:
            line.append(seg(f" {number(outcome.nonfinite)} nan", ink.of("bad")))
        line.append(seg("  "))
    return line


def metric_curve(model: EvaluationsModel, pair: Pair) -> Curve:
    """The metric over the checkpoints' steps."""
    points = sorted(
        (row.step, row.outcomes[pair[0]].metrics[pair[1]])
        for row in model.rows
        if row.step is not None
        and pair[0] in row.outcomes
        and pair[1] in row.outcomes[pair[0]].metrics
    )
    x, y = (np.array([p[i] for p in points], np.float64) for i in (0, 1))
    return Curve(f"{pair[0]}.{pair[1]}", x, y, points=True)
