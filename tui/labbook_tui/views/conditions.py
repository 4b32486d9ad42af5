"""Conditions: arguments, code, process, machine, packages; all known before the first step."""

from __future__ import annotations

from typing import ClassVar

from labbook_tui.lines import Line
from labbook_tui.models import ConditionsModel, Entry
from labbook_tui.palette import Ink, seg
from labbook_tui.text import cut
from labbook_tui.views.base import Scrolled

__all__ = ["ConditionsView", "entry_lines"]

MOST_PACKED = 40


class ConditionsView(Scrolled):
    """Sections of name and value; `/` finds."""

    KIND = "conditions"
    NAME = "Conditions"
    KEYS: ClassVar[list[tuple[str, str]]] = [("j k", "scroll"), ("/", "find"), ("n N", "next")]

    def __init__(self) -> None:
        super().__init__()
        self.model: ConditionsModel | None = None

    def accept(self, model: object) -> None:
        """Keep the model."""
        if isinstance(model, ConditionsModel):
            self.model = model

    def rows(self, width: int) -> list[Line]:
        """All entries."""
        if self.model is None:
            return self.waiting()
        return entry_lines(self.model.entries, width, self.ink)


def entry_lines(entries: tuple[Entry, ...], width: int, ink: Ink) -> list[Line]:
    """Entries as lines, values aligned within a section; short ones stand in several columns."""
    lines: list[Line] = []
    section: list[Entry] = []
    for entry in [*entries, Entry("", heading=True)]:
        if not entry.heading:
            section.append(entry)
            continue
        lines += _section(section, width, ink)
        section = []
        if entry.name:
            if lines:
                lines.append([])
            lines.append(
                [
                    seg(f" {entry.name}", ink.of("accent", "b")),
                    seg(
                        f"  {cut(entry.value, max(0, width - len(entry.name) - 4))}", ink.of("dim")
                    ),
                ]
            )
    return lines


def _section(entries: list[Entry], width: int, ink: Ink) -> list[Line]:
    if not entries:
        return []
    name_width = min(32, width // 3, max(len(entry.name) for entry in entries))
    value_width = max(len(entry.value) for entry in entries)
    cell = name_width + value_width + 4
    columns = max(1, (width - 2) // cell) if len(entries) > 8 and value_width <= MOST_PACKED else 1
    if columns == 1:
        return [line for entry in entries for line in _entry(entry, name_width, width, ink)]
    rows = -(-len(entries) // columns)
    lines: list[Line] = []
    for row in range(rows):
        line: Line = [seg("  ")]
        for entry in entries[row::rows]:
            line += [
                seg(cut(entry.name, name_width).ljust(name_width + 2), ink.of("dim")),
                seg(entry.value.ljust(value_width + 2), ink.of(entry.meaning)),
            ]
        lines.append(line)
    return lines


def _entry(entry: Entry, name_width: int, width: int, ink: Ink) -> list[Line]:
    """Name and value; a long value goes on in the next lines, nothing of it is cut."""
    room = max(8, width - name_width - 5)
    parts = [entry.value[at : at + room] for at in range(0, len(entry.value), room)] or [""]
    meaning = entry.meaning if entry.meaning == "warn" else "dim"
    first: Line = [
        seg("  " + cut(entry.name, name_width).ljust(name_width + 2), ink.of(meaning)),
        seg(parts[0], ink.of(entry.meaning)),
    ]
    rest: list[Line] = [
        [seg(" " * (name_width + 4) + part, ink.of(entry.meaning))] for part in parts[1:]
    ]
    return [first, *rest]
