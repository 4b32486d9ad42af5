"""The pane under the runs table: the chosen run's curve, and what else there is to know."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from labbook.book.text import clean
from labbook_tui.curve import Curve
from labbook_tui.folding import Fold, members
from labbook_tui.lines import Line, Lines, beside, clip, rule, width_of
from labbook_tui.marks import MOST, Marks
from labbook_tui.models import CurvesModel
from labbook_tui.palette import Ink, seg
from labbook_tui.states import dirty_text, last_step, mark, state_line, warning_line
from labbook_tui.text import cut, folded, grouped, number, plural, value_text

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["Preview", "facts_lines", "fold_lines"]

SIDE_FROM = 110
SIDE_WIDTH = 40


class Preview(Lines):
    """Shows the row under the cursor at once; the curves follow when they have been read.

    Where runs are marked their primary series are drawn in its place, each in its mark's hue.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.row: RunSummary | Fold | None = None
        self.models: dict[str, CurvesModel] = {}
        self.problems: dict[str, str] = {}
        self.differing: tuple[str, ...] = ()
        self.marked: tuple[str, ...] = ()
        self.marks = Marks()
        self.primary = ""

    @property
    def run(self) -> RunSummary | None:
        """The run under the cursor, or the newest of a fold."""
        return self.row.runs[0] if isinstance(self.row, Fold) else self.row

    @property
    def drawn(self) -> tuple[str, ...]:
        """Ids of the runs whose curves are drawn."""
        if self.marked or self.row is None:
            return self.marked
        return tuple(run.id for run in members(self.row)[:MOST])

    def show(
        self, row: RunSummary | Fold | None, differing: tuple[str, ...], marks: Marks, primary: str
    ) -> None:
        """Another row, or its newer summary; `primary` is the series that marked runs show."""
        self.row, self.differing, self.primary = row, differing, primary
        self.marks, self.marked = marks, marks.ids
        kept = {*self.drawn}
        self.models = {run_id: m for run_id, m in self.models.items() if run_id in kept}
        self.problems = {run_id: p for run_id, p in self.problems.items() if run_id in kept}
        self.redraw()

    def give(self, run_id: str, model: CurvesModel | None, problem: str = "") -> None:
        """The curves of a run."""
        if run_id not in self.drawn:
            return
        if model is not None:
            self.models[run_id] = model
        self.problems[run_id] = problem
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        """Rule with the name, warnings, chart and, where there is room, facts beside it."""
        run, ink = self.run, self.ink
        if self.row is None or run is None:
            return []
        head = rule(self._title(width, ink), width, ink)
        warning = warning_line(run, ink) if not isinstance(self.row, Fold) else []
        wide = width >= SIDE_FROM
        lines = (
            [head]
            if wide or not width_of(warning)
            else [head, clip([seg(" "), *warning], width - 1)]
        )
        room = height - len(lines)
        if not wide:
            return [*lines, *self._chart(width, room)]
        left = width - SIDE_WIDTH - 3
        gap: Line = [seg(f" {ink.glyphs.side} ", ink.of("faint"))]
        facts = (
            fold_lines(self.row, SIDE_WIDTH, room, ink)
            if isinstance(self.row, Fold)
            else facts_lines(self.row, self.differing, SIDE_WIDTH, room, ink)
        )
        facts += [[] for _ in range(room - len(facts))]
        return [*lines, *beside(self._chart(left, room), facts, left, gap)]

    def _title(self, width: int, ink: Ink) -> Line:
        assert self.row is not None
        name = seg(cut(clean(self.row.name), width // 2), ink.of("text", "b"))
        if not self.marked:
            return [name]
        letters: Line = []
        for run_id in self.marked:
            style = ink.series(self.marks.index(run_id) or 0, "b")
            letters.append(seg(f"{self.marks.letter(run_id)} ", style))
        return [seg("marked ", ink.of("dim")), *letters, seg("  ", ink.of("dim")), name]

    def _chart(self, width: int, height: int) -> list[Line]:
        run, ink = self.run, self.ink
        models = {run_id: self.models[run_id] for run_id in self.drawn if run_id in self.models}
        if not models or run is None:
            problem = next(filter(None, map(self.problems.get, self.drawn)), "")
            return [
                [],
                *(
                    [seg(" " + line, ink.of("bad" if problem else "dim"))]
                    for line in folded(problem or "reading…", width - 2, 6)
                ),
            ]
        if self.marked or isinstance(self.row, Fold):
            return self._overlay(models, width, height)
        return self._curves([*models[run.id].curves.values()], "", run, (width, height), ink)

    def _overlay(self, models: dict[str, CurvesModel], width: int, height: int) -> list[Line]:
        """The primary series of several runs."""
        found = {i: m.curves[self.primary] for i, m in models.items() if self.primary in m.curves}
        ids = [*found]
        room = max(6, 60 // max(1, len(ids)) - 12)  # the legend has one line for all
        named = [
            replace(curve, name=cut(clean(models[run_id].summary.name), room))
            for run_id, curve in found.items()
        ]
        run = next((m.summary for m in models.values() if m.summary.state == "running"), None)
        first = run or next(iter(models.values())).summary
        if not self.marked:
            return self._curves(named, self.primary, first, (width, height), self.ink)
        slots = tuple(self.marks.index(run_id) or 0 for run_id in ids)
        return self._curves(named, self.primary, first, (width, height), self.ink.hued(slots))

    def _curves(
        self,
        curves: list[Curve],
        title: str,
        run: RunSummary,
        size: tuple[int, int],
        ink: Ink,
    ) -> list[Line]:
        if not curves:
            words = (
                f" none of them has {clean(title)}"
                if title
                else " no series yet: labbook.log(loss=…) writes one"
            )
            return [[], [seg(words, self.ink.of("dim"))]]
        from labbook_tui.chart import ChartOptions, draw_chart

        title = clean(title or (curves[0].name if len(curves) == 1 else ""))
        letters = bool(self.marked) or not isinstance(self.row, Fold)
        options = ChartOptions(live=run.state == "running", letters=letters)
        return [
            [seg(" "), *line]
            for line in draw_chart(title, curves, (size[0] - 1, size[1]), ink, options)
        ]


def fold_lines(row: Fold, width: int, height: int, ink: Ink) -> list[Line]:
    """What runs that differ in their seed alone have in common, and how each of them ended."""
    dim = ink.of("dim")
    words = "same code, same arguments but seeds"
    lines: list[Line] = [[seg(plural(len(row.runs), "run"), ink.of("text", "b"))]]
    lines += [[seg(part, dim)] for part in folded(words, width, 2)]
    if any(run.dirty for run in row.runs):
        text = f"{ink.glyphs.dirty} dirty tree: the code may differ"
        lines += [[seg(part, ink.of("warn"))] for part in folded(text, width, 2)]
    elif any(run.commit is None for run in row.runs):
        lines.append([seg("no commit: the code may differ", ink.of("warn"))])
    for run in row.runs:
        text, style = mark(run.state, ink)
        lines.append([seg(f"  {text:<14}", style), seg(cut(clean(run.name), width - 17))])
    return lines[:height]


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
