"""What changed between the runs compared, section by section, and the lines of their code."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from labbook_tui.change_lines import COLOURS, change_lines, letters_line, patch_line, verdict
from labbook_tui.comparison import ChangesModel, PatchModel
from labbook_tui.lines import Line
from labbook_tui.palette import LETTERS, seg
from labbook_tui.shown import Shown
from labbook_tui.views.base import Scrolled

__all__ = ["ChangesView"]


class ChangesView(Scrolled):
    """Sections of what differs; enter opens the difference of the code, n and N go by its hunks."""

    KIND = "changes"
    NAME = "Changes"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("enter", "code"),
        ("n N", "hunk"),
        ("a", "all"),
        ("j k", "scroll"),
        ("/", "find"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("enter", "the changed lines of code, and back"),
        ("n N", "next, previous section, hunk, or match"),
        ("a", "all rows of long sections, or the first"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,d", "patch", "the code", show=False),
        Binding("a", "all", "all rows", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: ChangesModel | None = None
        self.patch: PatchModel | None = None
        self.slots: dict[str, int] = {}
        self.is_patch = False
        self.is_all = False
        self._top_before = 0
        self._starts: list[int] = []

    def wanted(self) -> tuple[str, tuple[str, ...]]:
        """The changes, or the code's."""
        return ("patch" if self.is_patch else self.KIND), ()

    def accept(self, model: object) -> None:
        """Keep the model; the patch of other runs is forgotten."""
        if isinstance(model, PatchModel):
            self.patch = model
        elif isinstance(model, ChangesModel):
            self.model = model

    def rows(self, width: int) -> list[Line]:
        """The patch, or the sections."""
        if self.is_patch:
            return self._patch_rows(width)
        model = self.model
        if model is None:
            return self.waiting()
        if len(model.about.runs) < 2:
            return self.note("there is no second run: space on the runs page marks what to compare")
        lines = [*verdict(model, width, self.ink), []]
        self._starts = []
        letters = [LETTERS[self.slots.get(run.id, i)] for i, run in enumerate(model.about.runs)]
        slots = [self.slots.get(run.id, i) for i, run in enumerate(model.about.runs)]
        if len(letters) > 2 and model.rows:
            lines.append(letters_line(letters, slots, width, self.ink))
        for row, line in change_lines(model, width, self.ink, is_all=self.is_all):
            if row is not None and row.sign == "heading":
                self._starts.append(len(lines))
            lines.append(line)
        if not model.rows:
            lines.append([seg(" nothing that was recorded differs", self.ink.of("dim"))])
        return lines

    def _patch_rows(self, width: int) -> list[Line]:
        patch = self.patch
        if patch is None:
            return self.note("reading the code…")
        if patch.problem:
            return self.note(patch.problem)
        lines: list[Line] = []
        self._starts = []
        for text in patch.lines:
            if text.startswith("@@"):
                self._starts.append(len(lines))
            lines += patch_line(text, width, self.ink)
        return lines

    def action_patch(self) -> None:
        """The code's difference, or back."""
        if self.is_patch:
            self.close()
            return
        self.is_patch, self._top_before, self.top = True, self.top, 0
        self.patch = None
        self._ask()

    def close(self) -> bool:
        """Leave the code."""
        was = self.is_patch
        if was:
            self.is_patch, self.top = False, self._top_before
            self._ask()
        return was

    def _ask(self) -> None:
        ask = getattr(self.screen, "ask", None)
        if ask is not None:
            ask()
        self.redraw()

    def remembered(self) -> dict[str, Any]:
        """Whether all is unfolded."""
        return {"all": self.is_all}

    def recall(self, memory: dict[str, Any]) -> None:
        """Take it up."""
        self.is_all = memory.get("all") is True

    def action_all(self) -> None:
        """Long sections whole, or cut."""
        self.is_all = not self.is_all
        self.redraw()

    def action_next(self, by: int) -> None:
        """To a match when something is searched; else by hunks, or by sections."""
        if self.found:
            super().action_next(by)
            return
        ahead = [at for at in self._starts if (at > self.top if by > 0 else at < self.top)]
        if ahead:
            last = max(0, len(self.rows(self.size.width)) - self.size.height)
            self.top = min(last, ahead[0] if by > 0 else ahead[-1])
            self.redraw()

    def copied(self) -> str:
        """The code's difference, or the headline with the changes."""
        if self.is_patch:
            return "\n".join(self.patch.lines) if self.patch else ""
        if self.model is None:
            return ""
        rows = [
            f"{row.sign} {row.name}  {' → '.join(row.values)}"
            for row in self.model.rows
            if row.sign in COLOURS
        ]
        return "\n".join([self.model.headline, *rows])

    def shown(self) -> Shown | None:
        """One row a change."""
        model = self.model
        if model is None or len(model.about.runs) < 2:
            return None
        rows, section = [], ""
        for row in model.rows:
            if row.sign == "heading":
                section = row.name
            elif row.sign in COLOURS:
                rows.append((section, row.sign, row.name, *row.values))
        most = max((len(row) - 3 for row in rows), default=2)
        return Shown("changes", ("section", "sign", "name", *LETTERS[:most]), rows, model.headline)
