"""What changed between runs as lines: the verdict, the sections, and a unified diff."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

from labbook_tui.comparison import ChangeRow, ChangesModel
from labbook_tui.lines import Line
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut, folded, pad

__all__ = ["COLOURS", "change_lines", "letters_line", "patch_line", "verdict"]

MOST_ROWS = 8
"""Rows of a section that are shown until `a` asks for all."""

COLOURS = {"+": "good", "-": "bad", "~": "warn"}


def verdict(model: ChangesModel, width: int, ink: Ink) -> list[Line]:
    """The first line: how much changed, and whether a difference can be laid to one thing."""
    things = model.things
    if len(model.about.runs) > 2:
        return [
            [seg(f" {part}", ink.of("text", "b"))] for part in folded(model.headline, width - 2, 3)
        ]
    if len(things) < 2:
        meaning = "good" if things or model.headline.startswith("nothing") else "text"
        parts = folded(model.headline, width - 4, 3)
        sign = ink.glyphs.done if meaning == "good" else " "
        return [
            [seg(f" {sign if i == 0 else ' '} {part}", ink.of(meaning, "b"))]
            for i, part in enumerate(parts)
        ]
    shown = ", ".join(things[:6]) + (f" and {len(things) - 6} more" if len(things) > 6 else "")
    text = f"{len(things)} things changed: {shown}: the difference cannot be laid to one of them"
    return [
        [seg(f" {ink.glyphs.dirty if i == 0 else ' '} {part}", ink.of("warn", "b"))]
        for i, part in enumerate(folded(text, width - 4, 3))
    ]


def change_lines(
    model: ChangesModel, width: int, ink: Ink, *, is_all: bool
) -> Iterator[tuple[ChangeRow | None, Line]]:
    """(row, its line) of every section, names aligned within one."""
    many = len(model.about.runs) > 2
    for n, (head, rows) in enumerate(_sections(model.rows)):
        if n:
            yield None, []
        hidden = 0 if is_all else max(0, len(rows) - MOST_ROWS)
        count = sum(row.sign in COLOURS for row in rows)
        note = f"  {head.values[0]}" if head.values and head.values[0] else ""
        yield (
            head,
            [
                seg(f" {head.name}", ink.of("accent", "b")),
                seg(f"  {count}" if count else "", ink.of("dim")),
                seg(cut(note, max(0, width - len(head.name) - 6)), ink.of("dim")),
            ],
        )
        room = min(width * 2 // 5, max((cell_len(row.name) for row in rows), default=0))
        wide = max((cell_len(r.values[0]) for r in rows if len(r.values) == 2), default=0)
        for row in rows[: len(rows) - hidden]:
            line = (
                _wide(row, len(model.about.runs), width, ink)
                if many and row.sign == "~"
                else _line(row, room, min(wide, width // 4), width, ink)
            )
            yield row, line
        if hidden:
            yield None, [seg(f"     and {hidden} more: a shows all", ink.of("dim"))]


def _sections(rows: tuple[ChangeRow, ...]) -> list[tuple[ChangeRow, list[ChangeRow]]]:
    found: list[tuple[ChangeRow, list[ChangeRow]]] = []
    for row in rows:
        if row.sign == "heading":
            found.append((row, []))
        elif found:
            found[-1][1].append(row)
    return found


def _line(row: ChangeRow, room: int, wide: int, width: int, ink: Ink) -> Line:
    if row.sign == "note":
        return [seg(f"   {cut(row.name, width - 4)}", ink.of(row.meaning))]
    line: Line = [
        seg(f"   {row.sign} ", ink.of(COLOURS[row.sign], "b")),
        seg(pad(row.name, room), ink.of("dim" if row.meaning == "dim" else "text")),
        seg("  "),
    ]
    left = width - room - 7
    if row.meaning == "file":
        counts, _, what = row.values[0].partition(" ")
        minus, _, more = what.partition(" ")
        if counts.startswith("+"):
            return [
                *line,
                seg(f"{counts:>5} ", ink.of("good")),
                seg(f"{minus:<6}", ink.of("bad")),
                seg(more, ink.of("dim")),
            ]
        return [*line, seg(row.values[0], ink.of("dim"))]
    if len(row.values) < 2:
        return [*line, seg(cut(" ".join(row.values), left), ink.of("text"))]
    a, b = row.values
    if row.sign == "+":
        return [*line, seg(cut(b, left), ink.of("good"))]
    if row.sign == "-":
        return [*line, seg(cut(a, left), ink.of("bad"))]
    a = pad(a, wide) if cell_len(a) <= wide else cut(a, max(wide, left // 2 - 2))
    rest = left - cell_len(a) - 3
    return [
        *line,
        seg(a, ink.of("dim")),
        seg(" → ", ink.of("dim")),
        seg(cut(b, rest), ink.of("dim" if row.meaning == "dim" else "text", "b")),
    ]


def _cells(count: int, width: int) -> tuple[int, int]:
    """Cells for the name, and for each of the runs' values."""
    name = min(28, width // 4)
    return name, max(6, min(18, (width - name - 6) // count - 1))


def _wide(row: ChangeRow, count: int, width: int, ink: Ink) -> Line:
    name, cell = _cells(count, width)
    line: Line = [seg(f"     {pad(row.name, name)}", ink.of("text"))]
    for value in row.values:
        same = sum(value == other for other in row.values) > 1
        line.append(
            seg(
                " " + pad(value, cell, right=True),
                ink.of("dim" if same else "text", "b" if not same else ""),
            )
        )
    return line


def letters_line(letters: list[str], slots: list[int], width: int, ink: Ink) -> Line:
    """The runs' letters over their columns."""
    name, cell = _cells(len(letters), width)
    line: Line = [seg(" " * (5 + name))]
    return line + [
        seg(" " + letter.rjust(cell), ink.series(slot, "b"))
        for letter, slot in zip(letters, slots, strict=True)
    ]


def patch_line(text: str, width: int, ink: Ink) -> list[Line]:
    """One line of a unified diff in its colour; a long one goes on in the next."""
    if text.startswith(("diff --git ", "# ")):
        meaning, bold = "accent", "b"
    elif text.startswith(("index ", "--- ", "+++ ", "new file", "deleted", "similarity", "rename")):
        meaning, bold = "dim", ""
    elif text.startswith("@@"):
        meaning, bold = "live", ""
    else:
        meaning, bold = {"+": "good", "-": "bad"}.get(text[:1], "text"), ""
    room = max(8, width - 2)
    parts = [text[at : at + room] for at in range(0, len(text), room)] or [""]
    return [[seg(" " + part, ink.of(meaning, bold))] for part in parts]
