"""What came out of two runs: figures with their difference, and the examples behind one."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from labbook_tui.comparison import ExampleDelta, ResultRow, ResultsModel
from labbook_tui.lines import Line, beside, rule
from labbook_tui.palette import Ink, seg
from labbook_tui.shown import Shown
from labbook_tui.text import cut, decimals, fixed, folded, number, pad, plural
from labbook_tui.views.base import Scrolled

__all__ = ["FindingsView", "result_lines"]

FEWEST = 5
"""Examples that stand under the figures on the smallest screen."""


class FindingsView(Scrolled):
    """A row a figure; below it the examples that got better and worse by one column of them."""

    KIND = "results"
    NAME = "Results"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("n N", "examples of"),
        ("j k", "scroll"),
        ("/", "find"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("n N", "examples by the next, previous column"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "next(1)", "next column", show=False),
        Binding("N", "next(-1)", "previous column", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: ResultsModel | None = None
        self.slots: dict[str, int] = {}
        self.column = 0
        self._recalled = ""

    def wanted(self) -> tuple[str, tuple[str, ...]]:
        """Kind and details of the model."""
        return self.KIND, ()

    def accept(self, model: object) -> None:
        """Keep the model."""
        if isinstance(model, ResultsModel):
            self.model = model
            names = [found.name for found in model.examples]
            if self._recalled in names:
                self.column, self._recalled = names.index(self._recalled), ""
            self.column = min(self.column, max(0, len(names) - 1))

    def remembered(self) -> dict[str, Any]:
        """The column whose examples are shown, by its name."""
        examples = self.model.examples if self.model is not None else ()
        name = examples[self.column].name if self.column < len(examples) else self._recalled
        return {"column": name} if name else {}

    def recall(self, memory: dict[str, Any]) -> None:
        """The column, where these runs have it."""
        self._recalled = name if isinstance(name := memory.get("column"), str) else ""

    def action_next(self, by: int) -> None:
        """To a match when something is searched; else examples by another column."""
        if self.found:
            super().action_next(by)
        elif self.model is not None and self.model.examples:
            self.column = (self.column + by) % len(self.model.examples)
            self.redraw()

    def rows(self, width: int) -> list[Line]:
        """Figures, examples, and what could not be compared."""
        model, ink = self.model, self.ink
        if model is None:
            return self.waiting()
        if len(model.about.runs) < 2:
            return self.note("there is no second run: space on the runs page marks what to compare")
        lines = result_lines(model.rows, width, ink)
        if not model.rows:
            lines = self.note("neither run has results yet")
        lines += [[], *self._examples(model, width)]
        for note in (*_caveats(model.rows, width), *model.notes):
            parts = folded(note, width - 5, 4)
            lines += [
                [seg(("   " if i else " · ") + part, ink.of("dim"))] for i, part in enumerate(parts)
            ]
        return lines

    def _examples(self, model: ResultsModel, width: int) -> list[Line]:
        ink = self.ink
        if not model.examples:
            text = (
                " no example was measured in both runs: run.choose(data) follows some, and"
                " labbook watch evaluates checkpoints"
            )
            return [[seg(" " + part, ink.of("dim"))] for part in folded(text, width - 2, 3)]
        found = model.examples[self.column]
        words = [
            (found.name, ink.of("text", "b")),
            (f"  {self.column + 1} of {len(model.examples)}", ink.of("dim")),
        ]
        lines = [rule([seg(*word) for word in words], width, ink)]
        better, worse = (found.less, found.more) if found.lower else (found.more, found.less)
        n_better, n_worse = (found.n_less, found.n_more)
        if not found.lower:
            n_better, n_worse = n_worse, n_better
        titles = (
            ("better in B", "worse in B") if found.lower is not None else ("more in B", "less in B")
        )
        half = (width - 3) // 2
        values = (v for row in (*found.less[:20], *found.more[:20]) for v in (row.a, row.b))
        places = min(4, decimals(values))
        most = max(FEWEST, self.size.height - len(self.model.rows if self.model else ()) - 8)
        blocks = [
            _block((title, count, meaning), rows[:most], places, half, ink)
            for title, count, rows, meaning in (
                (titles[0], n_better, better, "good"),
                (titles[1], n_worse, worse, "bad"),
            )
        ]
        lines += beside(blocks[0], blocks[1], half, [seg(f" {ink.glyphs.side} ", ink.of("faint"))])
        if found.n_same:
            lines.append(
                [seg(f" {plural(found.n_same, 'example')} the same in both", ink.of("dim"))]
            )
        return lines

    def copied(self) -> str:
        """The figures, tabs between."""
        shown = self.shown()
        if shown is None:
            return ""
        rows = [shown.columns, *shown.rows]
        return "\n".join("\t".join("" if v is None else str(v) for v in row) for row in rows)

    def shown(self) -> Shown | None:
        """One row a figure."""
        if self.model is None or not self.model.rows:
            return None
        columns = ("part", "name", "a", "b", "difference", "stderr", "n", "clear")
        rows = [
            (r.part, r.name, r.a, r.b, r.difference, r.stderr, r.n, r.is_clear)
            for r in self.model.rows
        ]
        return Shown("results", columns, rows, "B - A")


def result_lines(rows: tuple[ResultRow, ...], width: int, ink: Ink) -> list[Line]:
    """Heading and figures; the better side is green where it is more than chance."""
    if not rows:
        return []
    part, room = _widths(rows, width)
    head = f" {'':<{part}} {'':<{room}} {'A':>9} {'B':>9} {'B - A':>10}  {'± s.e.':<7} {'n':>4}"
    lines: list[Line] = [[seg(head, ink.of("dim"))]]
    before = ""
    for row in rows:
        # a part's name stands once, at its first row
        title = row.part if row.part != before else ""
        before = row.part
        places = decimals((row.a, row.b))
        lines.append(
            [
                seg(f" {pad(title, part)} ", ink.of("accent")),
                seg(pad(row.name, room), ink.of("text")),
                seg(f" {fixed(row.a, places):>9} {fixed(row.b, places):>9}", ink.of("text")),
                seg(f" {_signed(row.difference, places):>10}", ink.of(_meaning(row), "b")),
                seg(f"  {_stderr(row):<7}", ink.of("dim")),
                seg(f" {'' if row.n is None else str(row.n):>4}", ink.of("dim")),
                seg(f"  {_told(row, _verdict_room(rows, width))}", ink.of("dim")),
            ]
        )
    return lines


def _signed(value: float | None, places: int) -> str:
    if value is None:
        return "–"
    return ("+" if value > 0 else "") + fixed(value, places)


def _stderr(row: ResultRow) -> str:
    if row.stderr is None:
        return ""
    return f"±{number(row.stderr, 2)}" if row.stderr else "±0"


def _meaning(row: ResultRow) -> str:
    if not row.difference or row.lower is None or row.is_clear is False:
        return "text" if row.difference else "dim"
    if row.is_clear is None:
        return "text"
    return "good" if (row.difference < 0) == row.lower else "bad"


def _widths(rows: tuple[ResultRow, ...], width: int) -> tuple[int, int]:
    """Of the part and of the name."""
    part = min(14, max(len(row.part) for row in rows))
    return part, max(8, min(28, max(len(row.name) for row in rows), width - part - 49))


def _verdict_room(rows: tuple[ResultRow, ...], width: int) -> int:
    return max(0, width - sum(_widths(rows, width)) - 49)


def _verdict(row: ResultRow) -> str:
    """Whether a paired difference is more than chance."""
    if row.is_clear is False and row.difference:
        return "may be chance"
    if row.is_clear and row.lower is not None and row.difference:
        return "B better" if (row.difference < 0) == row.lower else "B worse"
    return ""


def _told(row: ResultRow, room: int) -> str:
    """The verdict and what speaks against the comparison; without that where it does not fit."""
    said = _verdict(row)
    whole = "; ".join(filter(None, (said, row.note)))
    return whole if len(whole) <= room else cut(said, room)


def _caveats(rows: tuple[ResultRow, ...], width: int) -> list[str]:
    """What `_told` had no room for, once for each part."""
    room = _verdict_room(rows, width) if rows else 0
    left = (f"{row.part}: {row.note}" for row in rows if row.note not in _told(row, room))
    return list(dict.fromkeys(left))


def _block(
    about: tuple[str, int, str],
    rows: tuple[ExampleDelta, ...],
    places: int,
    width: int,
    ink: Ink,
) -> list[Line]:
    """Title, number and colour, then the examples with both values."""
    title, count, meaning = about
    lines: list[Line] = [
        [
            seg(f" {title}", ink.of(meaning, "b")),
            seg(f"  {plural(count, 'example')}", ink.of("dim")),
        ]
    ]
    for row in rows:
        values = f"{fixed(row.a, places):>8} → {fixed(row.b, places):>8}"
        change = _signed(row.b - row.a, places)
        line: Line = [seg(f" #{row.example:<6}", ink.of("dim")), seg(values, ink.of("text"))]
        if width >= 36:
            line.append(seg(f" {change:>9}", ink.of(meaning)))
        lines.append(line)
    if not rows:
        lines.append([seg(" none", ink.of("dim"))])
    return lines
