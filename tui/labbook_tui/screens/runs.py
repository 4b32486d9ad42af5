"""The home screen: what its keys do to the runs, their order and their marks."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from labbook_tui.folding import Fold, row_id
from labbook_tui.prompt import Prompt
from labbook_tui.screens.runs_page import NONE, RunsPage
from labbook_tui.text import grouped

__all__ = ["RunsScreen"]


class RunsScreen(RunsPage):
    """Runs; enter opens one."""

    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("space", "mark the run A to G, or take its mark away"),
        ("b", "the baseline *, that others are compared with"),
        ("u", "clear all marks"),
        ("c 9", "compare the marked runs"),
        ("v", "fold runs that differ only in their seed"),
        ("enter space", "on a fold: open or close it"),
        ("s S", "sort by the next column; reverse"),
        ("o", "sort by any field, typed: lr or -val/loss"),
        ("E", "choose and order columns"),
        ("h l", "scroll columns"),
        ("p", "preview on or off"),
        ("/", "filter: lr<.01 state:killed since:2d -tag:debug"),
        ("tab", "while typing: complete fields, arguments and states"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter"),
        Binding("space", "mark", "mark the run"),
        Binding("b", "baseline", "set the baseline"),
        Binding("u", "unmark", "clear all marks"),
        Binding("c", "compare", "compare the marked runs"),
        Binding("v", "fold", "fold seeds"),
        Binding("s", "sort(1)", "sort by the next column"),
        Binding("S", "reverse", "reverse the order"),
        Binding("o", "sort_by", "sort by a field"),
        Binding("E", "columns", "choose columns"),
        Binding("p", "preview", "preview on or off"),
        Binding("escape", "clear", "clear the filter"),
    ]

    def on_vtable_moved(self) -> None:
        """Another run under the cursor."""
        table = self.table
        self._arrived_at = row_id(table.current) if table.current and table.cursor else ""
        self._recalled = ""
        if self.note:
            self.note = ""
            self._head()
        self._cursor_moved()

    def on_vtable_chosen(self) -> None:
        """Enter."""
        if not self._turn_fold():
            self.host.go(self.host.last_page)

    def _turn_fold(self) -> bool:
        """Open or close the fold under the cursor; False when there is none."""
        row = self.table.current
        if not isinstance(row, Fold):
            return False
        self.look.opened ^= {row.key}
        self._arrived_at = row.key
        self._reorder()
        return True

    def action_mark(self) -> None:
        """Mark the run under the cursor; a fold is opened or closed."""
        run_id = self.at_run()
        if self._turn_fold() or not run_id:
            return
        is_done = self.host.marks.toggle(run_id)
        self.note = "" if is_done else "A to G are taken: u clears them"
        self._marks_changed()

    def action_baseline(self) -> None:
        """Make the run under the cursor the baseline, or none."""
        run_id, marks = self.at_run(), self.host.marks
        if run_id:
            marks.baseline = "" if marks.baseline == run_id else run_id
            self._marks_changed()

    def action_unmark(self) -> None:
        """Take all marks and the baseline away."""
        self.host.marks.clear()
        self.host.marks.baseline = ""
        self.note = ""
        self._marks_changed()

    def action_compare(self) -> None:
        """The comparison of the marked runs."""
        if self.host.marks.ids:
            self.host.go(9)
        else:
            self.note = "nothing is marked: space marks a run"
            self._head()

    def action_filter(self) -> None:
        """Type a filter."""
        self._is_sorting, self._is_typing = False, True
        self.query_one("#prompt", Prompt).open(self.look.filter, completes=self.look.completed)

    def action_sort_by(self) -> None:
        """Type the field to sort by."""
        self._is_sorting = True
        self.query_one("#prompt", Prompt).open("", "sort by", self.look.completed_field)

    def action_clear(self) -> None:
        """Drop the filter."""
        self.look.filter_by("")
        self._reorder()

    def on_prompt_changed(self) -> None:
        """Filter or sort while it is typed; what is half typed leaves the view as it is."""
        prompt = self.query_one("#prompt", Prompt)
        if self._is_sorting:
            wrong = self.look.sort_by(prompt.value)
            if not wrong:
                self._sorted()
            prompt.tell(wrong)
            return
        wrong = self.look.filter_by(prompt.value)
        if wrong:
            prompt.tell(wrong)
            return
        self._reorder()
        total = len(self.model.rows) if self.model else 0
        told = f"{grouped(self._n_shown)} of {grouped(total)}"
        told += "" if self._n_shown else f": {NONE}"
        prompt.tell(told, is_wrong=self._n_shown == 0)

    def on_prompt_closed(self, message: Prompt.Closed) -> None:
        """Enter keeps the filter or the order, escape drops it."""
        self._is_typing = False
        if not message.kept and self._is_sorting:
            self.look.sorted_by = None
        elif not message.kept:
            self.look.filter_by("")
        self._reorder()
        self.table.focus()

    def action_sort(self, by: int) -> None:
        """Sort by the next column; after the last, newest first again."""
        keys = [column.key for column in self.table.columns if column.by is not None]
        now = self.look.sorted_by
        place = keys.index(now[0]) if now and now[0] in keys else -1
        following = place + by
        self.look.sorted_by = (keys[following], False) if 0 <= following < len(keys) else None
        self._sorted()

    def action_reverse(self) -> None:
        """Turn the order round."""
        if self.look.sorted_by is not None:
            key, is_down = self.look.sorted_by
            self.look.sorted_by = (key, not is_down)
            self._sorted()

    def _sorted(self) -> None:
        """Order anew, with the sorted column on screen."""
        table, key = self.table, self.look.sorted_by[0] if self.look.sorted_by else ""
        place = next((i for i, column in enumerate(table.columns) if column.key == key), 0)
        table.first_column = table.frozen if place < table.frozen + 3 else place - 2
        self._reorder()

    def action_fold(self) -> None:
        """Fold runs that differ only in their seed, or all open again."""
        if self.model is None:
            return
        self.look.is_folded = not self.look.is_folded
        self._columns()
        self._reorder()
        folds = sum(isinstance(row, Fold) for row in self.table.rows)
        nothing = self.look.is_folded and not folds
        self.note = "no two runs differ only in a seed" if nothing else ""
        self._head()

    def action_columns(self) -> None:
        """Choose and order columns."""
        from labbook_tui.screens.columns import ColumnsScreen

        if self.made is not None:
            made, look = self.made, self.look
            chosen = look.chosen
            self.app.push_screen(
                ColumnsScreen(made.known(), made.automatic(), chosen, self._choose)
            )

    def _choose(self, names: list[str] | None) -> None:
        self.look.chosen = names
        self._columns()
        self._reorder()

    def action_preview(self) -> None:
        """Show or hide the curve below."""
        self.has_preview = not self.has_preview
        self._share(self.size.height)
        self.ask()
