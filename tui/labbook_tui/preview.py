"""The pane under the runs table: the chosen run's curve, and what else there is to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labbook.book.text import clean
from labbook_tui.lines import Line, Lines, beside, rule, width_of
from labbook_tui.models import CurvesModel
from labbook_tui.palette import Ink, seg
from labbook_tui.states import dirty_text, last_step, state_line, warning_line
from labbook_tui.text import cut, folded, grouped, number, plural, value_text

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["Preview", "facts_lines"]

SIDE_FROM = 110
SIDE_WIDTH = 40


class Preview(Lines):
    """Shows `run` at once from its summary; the curves follow when they have been read."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.run: RunSummary | None = None
        self.model: CurvesModel | None = None
        self.problem = ""
        self.differing: tuple[str, ...] = ()

    def show(self, run: RunSummary | None, differing: tuple[str, ...]) -> None:
        """Another run, or its newer summary."""
        self.run, self.differing = run, differing
        self.redraw()

    def give(self, model: CurvesModel | None, problem: str = "") -> None:
        """The curves of the run."""
        self.model, self.problem = model, problem
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """Rule with the run's name, warnings, chart and, where there is room, facts beside it."""
        run, ink = self.run, self.ink
        if run is None:
            return []
        head = rule([seg(cut(clean(run.name), width // 2), ink.of("text", "b"))], width, ink)
        warning = warning_line(run, ink)
        wide = width >= SIDE_FROM
        lines = [head] if wide or not width_of(warning) else [head, [seg(" "), *warning]]
        room = height - len(lines)
        if not wide:
            return [*lines, *self._chart(width, room)]
        left = width - SIDE_WIDTH - 3
        gap: Line = [seg(f" {ink.glyphs.side} ", ink.of("faint"))]
        facts = facts_lines(run, self.differing, SIDE_WIDTH, room, ink)
        facts += [[] for _ in range(room - len(facts))]
        return [*lines, *beside(self._chart(left, room), facts, left, gap)]

    def _chart(self, width: int, height: int) -> list[Line]:
        run, model, ink = self.run, self.model, self.ink
        if model is None or run is None or model.summary.id != run.id:
            text = self.problem or "reading…"
            meaning = "bad" if self.problem else "dim"
            return [
                [],
                *([seg(" " + line, ink.of(meaning))] for line in folded(text, width - 2, 6)),
            ]
        curves = list(model.curves.values())
        if not curves:
            return [[], [seg(" no series yet: labbook.log(loss=…) writes one", ink.of("dim"))]]
        from labbook_tui.chart import ChartOptions, draw_chart

        title = clean(curves[0].name if len(curves) == 1 else "")
        options = ChartOptions(live=run.state == "running")
        return [
            [seg(" "), *line]
            for line in draw_chart(title, curves, (width - 1, height), ink, options)
        ]


def facts_lines(
    run: RunSummary, differing: tuple[str, ...], width: int, height: int, ink: Ink
) -> list[Line]:
    """State and evidence, dirty files, results, counts, and the arguments that tell runs apart."""
    dim, text = ink.of("dim"), ink.of("text")
    lines: list[Line] = [state_line(run, ink)]
    if run.state not in {"running", "finished"} and run.why:
        lines += [[seg(part, dim)] for part in folded(clean(run.why), width, 2)]
    step = last_step(run)
    counts = [f"step {grouped(step)}"] if step is not None else []
    counts += [plural(run.n_checkpoints, "checkpoint"), plural(run.n_results, "result")]
    lines.append([seg(" · ".join(counts), text)])
    if dirty_text(run):
        files = [clean(path) for path in run.dirty or ()]
        lines.append([seg(f"{ink.glyphs.dirty} dirty tree at launch", ink.of("warn"))])
        lines += [[seg("  " + cut(path, width - 2), ink.of("warn"))] for path in files[:4]]
        if len(files) > 4:
            lines.append([seg(f"  and {len(files) - 4} more", ink.of("warn"))])
    for evaluation, metrics in run.results.items():
        lines.append([seg(cut(clean(evaluation), width), dim)])
        lines += [_pair(clean(name), number(value), width, ink) for name, value in metrics.items()]
    if run.arguments:
        lines.append([seg("arguments", dim)])
        first = [name for name in differing if name in run.arguments]
        rest = [name for name in run.arguments if name not in differing]
        lines += [
            _pair(clean(name), clean(value_text(run.arguments[name])), width, ink)
            for name in [*first, *rest]
        ]
    return lines[:height]


def _pair(name: str, value: str, width: int, ink: Ink) -> Line:
    left = cut(name, width // 2 - 2)
    return [
        seg("  " + left.ljust(width // 2 - 2), ink.of("dim")),
        seg(cut(value, width - width // 2)),
    ]
