"""Evaluations: checkpoints × metrics with standard errors, the best marked, and their curve."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from rich.style import Style
from textual.binding import BindingType

from labbook.book.text import clean
from labbook.direction import direction
from labbook_tui.chart import ChartOptions, draw_chart
from labbook_tui.curve import Curve
from labbook_tui.lines import Line, fit, rule, under
from labbook_tui.models import CheckpointRow, EvaluationsModel, Want
from labbook_tui.palette import Ink, seg
from labbook_tui.shown import Shown
from labbook_tui.states import now_ns
from labbook_tui.text import (
    ago,
    bytes_text,
    cut,
    decimals,
    duration,
    fixed,
    folded,
    grouped,
    number,
    pad,
    plural,
)
from labbook_tui.views.base import MOVES, View

if TYPE_CHECKING:
    from labbook.compare.gaps import Gap

__all__ = ["EvaluationsView", "gap_text", "metric_curve", "result_text", "watcher_lines"]

Pair = tuple[str, str]

GAPS = ("Δ previous", "Δ best")
GAP = 15


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
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("h l", "metric"),
        ("b", "to the best checkpoint by it"),
        ("enter", "its examples, the worst first"),
        ("space", "pick it, to compare another with (v there)"),
        ("r", "the command that evaluates it; y copies it"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVES,
        ("h,left", "metric(-1)", "previous metric"),
        ("l,right", "metric(1)", "next metric"),
        ("b", "best", "go to the best checkpoint"),
        ("enter", "open", "its examples"),
        ("space", "pick", "pick to compare with"),
        ("r", "command", "the command that evaluates it"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: EvaluationsModel | None = None
        self.cursor = self.top = self.metric = 0
        self.picked = ""
        self.told = ""

    def want(self, run_id: str) -> Want:
        """The differences of the chosen metric are read with the rest."""
        return Want(self.KIND, run_id, self.pair or ())

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
        head = watcher_lines(model, width, self.ink)
        about = self._about(model, width, 3 if height < 24 else 8)
        has_curve = height >= 14 and self.pair is not None
        least = min(len(model.rows) + 1, 4)
        most = max(least, (height * 60 // 100 if has_curve else height) - len(head) - len(about))
        lines = [*head, *self._table(model, width, most), *about]
        if has_curve and height - len(lines) >= 7:
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
        if self._shows_gaps(model):
            head += [seg(pad(title, GAP, right=True) + "  ", ink.of("dim")) for title in GAPS]
        head.append(seg("n", ink.of("dim")))
        lines = [head]
        for place in range(self.top, min(len(model.rows), self.top + rows)):
            line = self._row(model, place, metrics, widths)
            lines.append(under(fit(line, width), ink.cursor) if place == self.cursor else line)
        return lines

    def _shows_gaps(self, model: EvaluationsModel) -> bool:
        """Whether differences of the chosen metric are known."""
        known = any(gap is not None for gaps in model.gaps.values() for gap in gaps)
        return known and model.compared == self.pair

    def _visible(self, model: EvaluationsModel, width: int) -> list[Pair]:
        """As many metrics as fit, the chosen one among them."""
        taken = 34 + (2 * (GAP + 2) if self._shows_gaps(model) else 0)
        most = max(1, (width - taken) // 20)
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
            seg(f" {'+' if row.file == self.picked else ' '} ", ink.of("accent", "b")),
            seg(f"{step:>9}  ", ink.of("text", "b")),
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
            is_faint = text == "–" or pair[0].endswith("*")
            style = ink.of("good", "b") if is_best else ink.of("dim") if is_faint else None
            line += [
                seg(pad(text, widths[pair], right=True), style),
                seg(f" {mark} ", ink.of("good")),
            ]
        if self._shows_gaps(model):
            places = _gap_places([gap for pair in model.gaps.values() for gap in pair])
            for gap in model.gaps.get(place, (None, None)):
                line += [
                    seg(pad(gap_text(gap, places), GAP, right=True), self._gap_style(gap)),
                    seg("  "),
                ]
        name = self.pair[0] if self.pair else ""
        return [*line, *_coverage(row, name, ink)]

    def _gap_style(self, gap: Gap | None) -> Style:
        """Green where it is better by more than noise, red where it is worse."""
        mode = direction(self.pair[1]) if self.pair else None
        if gap is None or gap.is_noise or mode is None:
            return self.ink.of("dim")
        return self.ink.of("good" if (gap.difference > 0) == (mode == "max") else "bad")

    def _about(self, model: EvaluationsModel, width: int, most: int) -> list[Line]:
        """The checkpoint under the cursor, and all that is to be said against its results."""
        ink, row = self.ink, model.rows[self.cursor]
        line = [
            seg(f" {row.file}", ink.of("text")),
            seg(f"  {bytes_text(row.size) if row.size else ''}", ink.of("dim")),
        ]
        codes = {o.code for o in row.outcomes.values() if o.code}
        if codes:
            words = "the current" if codes == {"current"} else "the run's own"
            words = words if len(codes) == 1 else "the current and the run's own"
            line.append(seg(f"  evaluated with {words} code", ink.of("dim")))
        if any(name.endswith("*") for name, _ in model.metrics):
            line.append(seg("  * mini set", ink.of("dim")))
        said: list[tuple[str, str]] = [(self.told, "accent")] if self.told else []
        if row.reason:
            said.append((row.reason, "bad" if row.reason.startswith("failed") else "warn"))
        broken = sum(o.nonfinite for o in row.outcomes.values())
        if broken:
            said.append((plural(broken, "value") + " not finite, left out of the means", "warn"))
        texts = [*(text for o in row.outcomes.values() for text in o.warnings), *model.remarks]
        said += [(text, "warn") for text in dict.fromkeys(texts)]
        lines: list[Line] = [line]
        for text, meaning in said:
            room = most - len(lines) + 1
            if room < 1:
                break
            glyph = "$" if meaning == "accent" else ink.glyphs.dirty
            parts = folded(text, width - 4, room)
            lines += [
                [seg(f" {glyph if at == 0 else ' '} {part}", ink.of(meaning))]
                for at, part in enumerate(parts)
            ]
        return [[], *lines]

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
        count = len(self.model.metrics) if self.model else 0
        if count:
            self.metric = (min(self.metric, count - 1) + by) % count
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
        if model is None or row is None or self.pair is None:
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


def result_text(row: CheckpointRow, pair: Pair, places: int) -> str:
    """`0.9512 ±0.0049`; `–` where there is no result."""
    outcome = row.outcomes.get(pair[0])
    if outcome is None or pair[1] not in outcome.metrics:
        return "–"
    value, error = outcome.metrics[pair[1]], outcome.stderr.get(pair[1])
    text = fixed(value, places)
    return text if error is None or math.isnan(error) else f"{text} ±{fixed(error, places)}"


def _step_of(row: CheckpointRow) -> str:
    return f"step {grouped(row.step)}" if row.step is not None else row.file


def gap_text(gap: Gap | None, places: int | None = None) -> str:
    """`+0.0044 ±0.0031`; `–` where there is nothing to pair."""
    if gap is None:
        return "–"
    if places is None:
        places = _gap_places([gap])
    error = "" if gap.stderr is None else f" ±{fixed(gap.stderr, places)}"
    return f"{'+' if gap.difference > 0 else ''}{fixed(gap.difference, places)}{error}"


def _gap_places(gaps: list[Gap | None]) -> int:
    """Decimals that show two digits of the standard errors, and at most what a column holds."""
    known = [gap.stderr or gap.difference for gap in gaps if gap is not None]
    return min(4, decimals(known, 2))


def watcher_lines(model: EvaluationsModel, width: int, ink: Ink) -> list[Line]:
    """Who watches this book and what they are at; nothing where nobody does."""
    lines: list[Line] = []
    for watcher in model.watchers[:2]:
        glyph = ink.glyphs.unknown if watcher.is_stale else ink.glyphs.live
        words = [f"watcher {watcher.host} {watcher.pid} {watcher.state}"]
        if watcher.why:
            words[0] += f": {watcher.why}"
        for worker in watcher.workers[:1]:
            if worker.state == "evaluating":
                step = f" step {grouped(worker.step)}" if worker.step is not None else ""
                words.append(f"{worker.device}: {worker.name}{step} {worker.evaluation}")
                if worker.done is not None:
                    of = f" of {grouped(worker.total)}" if worker.total else ""
                    rate = f", {worker.rate:,.0f}/s" if worker.rate else ""
                    words.append(f"{grouped(worker.done)}{of}{rate}")
            else:
                words.append(f"{worker.device}: {worker.state}")
        counts = ((watcher.n_pending, "to do"), (watcher.n_waiting, "waiting"))
        words += [f"{n} {what}" for n, what in (*counts, (watcher.n_failed, "failed")) if n]
        if watcher.lag_s:
            words.append(f"behind {duration(watcher.lag_s)}")
        meaning = "warn" if watcher.is_stale else "live"
        text = cut(clean("  ".join(words)), width - 4)
        lines.append([seg(f" {glyph} ", ink.of(meaning)), seg(text, ink.of("dim"))])
    return lines


def _coverage(row: CheckpointRow, name: str, ink: Ink) -> Line:
    """How many examples the chosen evaluation saw; anything but all of them is said."""
    outcome = row.outcomes.get(name)
    if outcome is None:
        return []
    seen = "–" if outcome.n_examples is None else grouped(outcome.n_examples)
    line: Line = [seg(seen, ink.of("dim"))]
    if outcome.subset not in {"full", "mini"}:
        line.append(seg(f" {outcome.subset}", ink.of("warn")))
    if outcome.coverage != "complete":
        line.append(seg(f" {outcome.coverage}", ink.of("warn")))
    if outcome.nonfinite:
        line.append(seg(f" {number(outcome.nonfinite)} nan", ink.of("bad")))
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
