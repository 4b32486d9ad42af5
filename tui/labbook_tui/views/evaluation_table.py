"""Checkpoints × metrics as lines: values with standard errors, the best marked, differences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.style import Style

from labbook.direction import direction
from labbook_tui.lines import Line, fit, under, width_of
from labbook_tui.models import CheckpointRow, EvaluationsModel
from labbook_tui.palette import Ink, seg
from labbook_tui.states import now_ns
from labbook_tui.text import ago, cut, decimals, fixed, grouped, number, pad

if TYPE_CHECKING:
    from labbook.compare.gaps import Gap

__all__ = ["EvaluationTable", "Pair", "gap_text", "places_of", "reason_meaning", "result_text"]

Pair = tuple[str, str]

GAPS = ("Δ previous", "Δ best")
GAP = 15


@dataclass(frozen=True)
class EvaluationTable:
    """The table for a width: `pair` is the chosen metric, `picked` a checkpoint's file."""

    model: EvaluationsModel
    pair: Pair | None
    picked: str
    width: int
    ink: Ink

    def lines(self, places: Iterable[int], cursor: int) -> list[Line]:
        """The heading, and the rows at these places."""
        metrics = self._visible()
        widths = {pair: self._width(pair) for pair in metrics}
        lines = [self._heading(metrics, widths)]
        for place in places:
            line = self._row(place, metrics, widths)
            is_here = place == cursor
            lines.append(under(fit(line, self.width), self.ink.cursor) if is_here else line)
        return lines

    @property
    def _has_several(self) -> bool:
        """Whether a metric has to be named with its evaluation."""
        return len({name for name, _ in self.model.metrics}) > 1

    @property
    def _has_gaps(self) -> bool:
        """Whether differences of the chosen metric are known."""
        known = any(gap is not None for gaps in self.model.gaps.values() for gap in gaps)
        return known and self.model.compared == self.pair

    def _visible(self) -> list[Pair]:
        """As many metrics as fit, the chosen one among them."""
        taken = 34 + (2 * (GAP + 2) if self._has_gaps else 0)
        most = max(1, (self.width - taken) // 20)
        metrics = self.model.metrics
        at = metrics.index(self.pair) if self.pair else 0
        start = max(0, min(at - most + 1, len(metrics) - most))
        return list(metrics[start : start + most])

    def _title(self, pair: Pair) -> str:
        return f"{pair[0]}.{pair[1]}" if self._has_several else pair[1]

    def _width(self, pair: Pair) -> int:
        places = places_of(self.model, pair)
        texts = [len(result_text(row, pair, places)) for row in self.model.rows]
        return min(24, max([len(self._title(pair)), *texts]))

    def _heading(self, metrics: list[Pair], widths: dict[Pair, int]) -> Line:
        ink = self.ink
        head: Line = [seg(f"   {'step':>9}  {'age':>4}  ", ink.of("dim"))]
        for pair in metrics:
            style = ink.of("accent", "b") if pair == self.pair else ink.of("dim")
            head.append(seg(pad(self._title(pair), widths[pair], right=True) + "   ", style))
        if self._has_gaps:
            head += [seg(pad(title, GAP, right=True) + "  ", ink.of("dim")) for title in GAPS]
        return [*head, seg("n", ink.of("dim"))]

    def _row(self, place: int, metrics: list[Pair], widths: dict[Pair, int]) -> Line:
        ink, row = self.ink, self.model.rows[place]
        step = grouped(row.step) if row.step is not None else "–"
        age = ago((now_ns() - row.time_ns) / 1e9) if row.time_ns else "–"
        line: Line = [
            seg(f" {'+' if row.file == self.picked else ' '} ", ink.of("accent", "b")),
            seg(f"{step:>9}  ", ink.of("text", "b")),
            seg(f"{age:>4}  ", ink.of("dim")),
        ]
        if not row.outcomes:
            room = self.width - width_of(line) - 1
            return [*line, seg(cut(row.reason, room), ink.of(reason_meaning(row.reason)))]
        for pair in metrics:
            line += self._result(place, pair, widths[pair])
        if self._has_gaps:
            line += self._gaps(place)
        return [*line, *_coverage(row, self.pair[0] if self.pair else "", ink)]

    def _result(self, place: int, pair: Pair, width: int) -> Line:
        ink = self.ink
        is_best = self.model.best.get(pair) == place
        text = result_text(self.model.rows[place], pair, places_of(self.model, pair))
        is_faint = text == "–" or pair[0].endswith("*")
        style = ink.of("good", "b") if is_best else ink.of("dim") if is_faint else None
        mark = ink.glyphs.best if is_best else " "
        return [seg(pad(text, width, right=True), style), seg(f" {mark} ", ink.of("good"))]

    def _gaps(self, place: int) -> Line:
        places = _gap_places([gap for pair in self.model.gaps.values() for gap in pair])
        line: Line = []
        for gap in self.model.gaps.get(place, (None, None)):
            text = pad(gap_text(gap, places), GAP, right=True)
            line += [seg(text, self._gap_style(gap)), seg("  ")]
        return line

    def _gap_style(self, gap: Gap | None) -> Style:
        """Green where it is better by more than noise, red where it is worse."""
        mode = direction(self.pair[1]) if self.pair else None
        if gap is None or gap.is_noise or mode is None:
            return self.ink.of("dim")
        return self.ink.of("good" if (gap.difference > 0) == (mode == "max") else "bad")


def reason_meaning(reason: str) -> str:
    """The colour of why there is no result: nothing is wrong where nobody has looked yet."""
    if reason.startswith("failed"):
        return "bad"
    return "dim" if reason.startswith("no result yet") else "warn"


def places_of(model: EvaluationsModel, pair: Pair) -> int:
    """Decimals of a metric."""
    name, metric = pair
    return decimals(r.outcomes[name].metrics.get(metric) for r in model.rows if name in r.outcomes)


def result_text(row: CheckpointRow, pair: Pair, places: int) -> str:
    """`0.9512 ±0.0049`; `–` where there is no result."""
    outcome = row.outcomes.get(pair[0])
    if outcome is None or pair[1] not in outcome.metrics:
        return "–"
    value, error = outcome.metrics[pair[1]], outcome.stderr.get(pair[1])
    text = fixed(value, places)
    return text if error is None or math.isnan(error) else f"{text} ±{fixed(error, places)}"


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
