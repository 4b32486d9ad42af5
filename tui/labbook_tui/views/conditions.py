"""Conditions: arguments, code, process, machine, packages; all known before the first step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from labbook_tui.lines import Line
from labbook_tui.models import ConditionsModel, Entry
from labbook_tui.palette import Ink, seg
from labbook_tui.shown import Shown
from labbook_tui.text import cut
from labbook_tui.views.base import Scrolled

__all__ = ["ConditionsView", "entry_lines", "folded_entries"]

FOLDED = frozenset({"packages", "environment"})
FOLDED_FROM = 10

MOST_PACKED = 40


class ConditionsView(Scrolled):
    """Sections of name and value, long ones folded; notes and tags can be written here."""

    KIND = "conditions"
    NAME = "Conditions"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("j k", "scroll"),
        ("a", "all"),
        ("E", "notes"),
        ("+", "tag"),
        ("y", "copy command"),
        ("/", "find"),
        ("n N", "section"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("a", "unfold packages and other long sections"),
        ("E", "edit the notes in $EDITOR, or add a line"),
        ("+", "tag it; -tag takes one away"),
        ("y", "copy the command that starts it again"),
        ("n N", "next, previous section, or match"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "all", "unfold", show=False),
        Binding("E", "notes", "notes", show=False),
        Binding("plus", "tag", "tag", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: ConditionsModel | None = None
        self.is_all = False

    def accept(self, model: object) -> None:
        """Keep the model."""
        if isinstance(model, ConditionsModel):
            self.model = model

    def rows(self, width: int) -> list[Line]:
        """All entries; what is searched is searched in the folded ones too."""
        if self.model is None:
            return self.waiting()
        entries = self.model.entries
        if not self.is_all and not self.found:
            entries = folded_entries(entries)
        return entry_lines(entries, width, self.ink)

    def remembered(self) -> dict[str, Any]:
        """Whether all is unfolded."""
        return {"all": self.is_all}

    def recall(self, memory: dict[str, Any]) -> None:
        """Take it up."""
        self.is_all = memory.get("all") is True

    def action_all(self) -> None:
        """Unfold, or fold."""
        self.is_all = not self.is_all
        self.redraw()

    def action_next(self, by: int) -> None:
        """To a match when something is searched, else to another section."""
        if self.found:
            super().action_next(by)
            return
        rows = self.rows(self.size.width)
        starts = [i for i, row in enumerate(rows) if i == 0 or (not rows[i - 1] and row)]
        ahead = [at for at in starts if (at > self.top if by > 0 else at < self.top)]
        if ahead:
            last = max(0, len(rows) - self.size.height)
            self.top = min(last, ahead[0] if by > 0 else ahead[-1])
            self.redraw()

    def action_notes(self) -> None:
        """Edit the notes."""
        edit = getattr(self.screen, "edit_notes", None)
        if edit is not None:
            edit()

    def action_tag(self) -> None:
        """Type tags."""
        ask = getattr(self.screen, "ask_tags", None)
        if ask is not None:
            ask()

    def copied(self) -> str:
        """The command that starts the run again, as `labbook show --args` prints it."""
        return self.model.command if self.model is not None else ""

    def shown(self) -> Shown | None:
        """Every entry, folded or not."""
        if self.model is None:
            return None
        rows, section = [], ""
        for entry in self.model.entries:
            if entry.heading:
                section = entry.name
            else:
                rows.append((section, entry.name.strip(), entry.value))
        return Shown("conditions", ("section", "name", "value"), rows)


def folded_entries(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Sections of packages and variables, where they are long, as their heading alone."""
    out: list[Entry] = []
    section: list[Entry] = []
    for entry in [*entries, Entry("", heading=True)]:
        if not entry.heading:
            section.append(entry)
            continue
        if section and section[0].heading:
            head, body = section[0], section[1:]
            is_long = head.name.split(" ")[0] in FOLDED and len(body) > FOLDED_FROM
            if is_long:
                some = ", ".join(each.name for each in body[:6])
                out.append(replace(head, value=f"folded, a unfolds: {some} …"))
            else:
                out += section
        section = [entry]
    return tuple(out)


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
