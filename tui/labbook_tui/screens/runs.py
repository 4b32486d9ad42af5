"""The home screen: all runs in a table that follows them live, and the curve of the one chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from labbook.book.text import clean
from labbook_tui.bars import Header, Keys
from labbook_tui.folding import Fold, row_id
from labbook_tui.lines import Line, fit, width_of
from labbook_tui.models import (
    CurvesModel,
    Glance,
    GlancesModel,
    Problem,
    Reading,
    RunsModel,
    Want,
)
from labbook_tui.palette import seg
from labbook_tui.preview import Preview
from labbook_tui.prompt import Prompt
from labbook_tui.run_columns import FROZEN, RunColumns
from labbook_tui.runs_look import RunsLook
from labbook_tui.screens.base import BaseScreen
from labbook_tui.shown import Shown
from labbook_tui.table import VTable
from labbook_tui.text import cut, grouped, plural

if TYPE_CHECKING:
    from textual import events

    from labbook.book.summary import RunSummary

__all__ = ["RunsScreen"]

KEYS = [
    ("enter", "open"),
    ("space", "mark"),
    ("/", "filter"),
    ("?", "help"),
    ("s S o", "sort"),
    ("v", "fold seeds"),
    ("E", "columns"),
    ("2-8", "page"),
    ("p", "preview"),
    ("q", "quit"),
]

EMPTY = "no runs yet. In a training script:  run = labbook.start()   run.log(loss=loss)"
NONE = "no run matches the filter: esc clears it"
GLANCED = {"spark", "lag", "gpu"}


class RunsScreen(BaseScreen):
    """Runs; enter opens one."""

    NAME = "runs"
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

    def __init__(self, book: str) -> None:
        super().__init__()
        self.book = book
        self.model: RunsModel | None = None
        self.problem = ""
        self.note = ""
        self.look = RunsLook()
        self.made: RunColumns | None = None
        self.glances: dict[str, Glance] = {}
        self.has_preview = True
        self._n_shown = self._n_live = 0
        self._arrived_at = self._recalled = ""
        self._is_sorting = self._is_typing = False

    def page(self) -> Iterable[Widget]:
        """Header, table, preview, prompt, footer."""
        yield Header(id="head")
        yield VTable(id="runs", frozen=FROZEN)
        yield Preview(id="preview")
        yield Prompt(id="prompt")
        yield Keys(id="keys")

    @property
    def table(self) -> VTable[RunSummary | Fold]:
        """The runs table."""
        return self.query_one("#runs", VTable)

    @property
    def preview(self) -> Preview:
        """The pane below."""
        return self.query_one("#preview", Preview)

    def on_mount(self) -> None:
        """Show the skeleton; ages grow by themselves."""
        self.table.empty = "reading…"
        self.table.focus()
        self._keys()
        self._head()
        self.set_interval(1.0, self._tick)

    def on_resize(self, event: events.Resize) -> None:
        """The preview folds away where rows are few."""
        super().on_resize(event)
        self._share(event.size.height)

    def on_screen_resume(self) -> None:
        """Marks may be others now."""
        self._marks_changed()

    def _share(self, height: int) -> None:
        """Rows for the preview: nearly half, and more where the runs are few."""
        runs = len(self.table.order) if self.model is not None else height
        least, most = max(9, height * 45 // 100), height * 65 // 100
        rows = 0 if height < 20 else min(max(least, height - runs - 6), most)
        if self.preview.styles.height is None or self.preview.styles.height.value != rows:
            self.preview.styles.height = rows
        self.preview.display = self.has_preview and rows > 0

    # ------------------------------------------------------------------ models

    def wants(self) -> tuple[Want, ...]:
        """The runs, the curves that the preview draws, and a glance at the rows in sight."""
        wants = [Want("runs")]
        if self.preview.display:
            wants += [Want("preview", run_id) for run_id in self.preview.drawn]
        glanced = self._glanced()
        return (*wants, Want("glances", detail=glanced)) if len(glanced) > 1 else tuple(wants)

    def _glanced(self) -> tuple[str, ...]:
        """The main series, and the runs in sight where a column shows more than the summary."""
        table = self.table
        if self.made is None or not any(table.columns[i].key in GLANCED for i in table.in_sight):
            return ()
        rows = (table.rows[i] for i in table.order[table.top : table.top + table.page_rows])
        ids = [row.id for row in rows if not isinstance(row, Fold)]
        return ("".join(self.made.primary), *ids)

    def take(self, want: Want, model: object) -> None:
        """A new table, curves, or glances."""
        if want.kind == "preview":
            if isinstance(model, CurvesModel):
                self.preview.give(want.run, model)
            elif isinstance(model, Problem):
                self.preview.give(want.run, None, model.text)
        elif isinstance(model, GlancesModel):
            self.glances.update(model.rows)
            self.table.redraw()
        elif want.kind == "runs" and isinstance(model, Problem):
            self.problem = model.text
            self.table.empty = model.text
            self.table.redraw()
            self._head()
        elif isinstance(model, Reading):
            self.table.empty = model.text
            self.table.redraw()
        elif isinstance(model, RunsModel):
            self.problem = ""
            self._show(model)

    def repaint(self) -> None:
        """Columns hold styles."""
        if self.model is not None:
            self._show(self.model)

    def _show(self, model: RunsModel) -> None:
        first = self.model is None
        self.model = model
        self.look.learn(model)
        self._n_live = sum(run.state == "running" for run in model.rows)
        self.table.empty = NONE if model.rows else EMPTY
        self._columns()
        self._reorder(first)

    def _columns(self) -> None:
        """Make the columns anew."""
        if self.model is None:
            return
        host, look = self.host, self.look
        self.made = RunColumns(self.model, host.ink, host.marks, self.glances, look.is_folded)
        self.table.sorted_by = look.sorted_by
        self.table.set_columns(self.made.columns(look.chosen))

    def _reorder(self, first: bool = False) -> None:
        """Filter, fold and sort anew; the cursor stays on its row, wherever that has gone."""
        model, table, look = self.model, self.table, self.look
        if model is None or self.made is None:
            return
        current = table.current
        follow = table.cursor == 0 and table.top == 0 and not self._arrived_at
        rows, self._n_shown = look.rows(model, self.made)
        if not rows and self._is_typing:
            self._head()
            return  # what is typed may yet match
        keep, wanted = 0, self._recalled
        if not wanted and current is not None and not (follow and look.sorted_by is None):
            wanted = row_id(current)
        if wanted:
            place = next((p for p, row in enumerate(rows) if row_id(row) == wanted), None)
            if place is not None:
                self._arrived_at, self._recalled = wanted if place else "", ""
            keep = min(table.cursor, max(0, len(rows) - 1)) if place is None else place
        table.sorted_by = look.sorted_by
        table.set_rows(rows, range(len(rows)), keep)
        self._share(self.size.height)
        self._head()
        self._cursor_moved()

    # ------------------------------------------------------------------ head and foot

    def _head(self) -> None:
        ink, model, look = self.host.ink, self.model, self.look
        line: Line = [seg(" labbook ", ink.of("accent", "b")), seg(" ")]
        if model is not None:
            line += [seg(plural(len(model.rows), "run"), ink.of("text", "b"))]
            line += [seg(f"  {self._n_live} live", ink.of("live"))] if self._n_live else []
            if model.n_dirty:
                text = f"  {grouped(model.n_dirty)} from a dirty tree"
                line += [seg(text, ink.of("warn"))]
        if look.filter:
            line += [
                seg(f"   / {clean(look.filter)}", ink.of("accent")),
                seg(f"  {grouped(self._n_shown)} shown", ink.of("dim" if self._n_shown else "bad")),
            ]
        if look.sorted_by and not any(c.key == look.sorted_by[0] for c in self.table.columns):
            sign = ink.glyphs.down if look.sorted_by[1] else ink.glyphs.up
            line += [seg(f"   {sign} {clean(look.sorted_by[0])}", ink.of("accent"))]
        for text, meaning in ((self.problem, "bad"), (self.note, "warn")):
            line += [seg(f"   {text}", ink.of(meaning))] if text else []
        width = self.size.width
        where = cut(self.book, max(0, width - width_of(line) - 3))
        if len(where) > 8:
            line = [*fit(line, width - len(where) - 1), seg(where, ink.of("dim"))]
        self.query_one("#head", Header).show([line])

    def _keys(self) -> None:
        """The footer: the comparison is first where runs are marked."""
        marked = len(self.host.marks.ids)
        first = [("c", f"compare {marked} marked"), ("u", "unmark")] if marked else []
        self.query_one("#keys", Keys).show([*first, *KEYS])

    def _tick(self) -> None:
        if self.is_current and self.model is not None:
            self.table.redraw()

    def _cursor_moved(self) -> None:
        differing = self.model.differing if self.model else ()
        primary = "".join(self.made.primary) if self.made else ""
        self.preview.show(self.table.current, differing, self.host.marks, primary)
        self.ask()

    def on_vtable_moved(self) -> None:
        """Another run under the cursor."""
        table = self.table
        self._arrived_at = row_id(table.current) if table.current and table.cursor else ""
        self._recalled = ""
        if self.note:
            self.note = ""
            self._head()
        self._cursor_moved()

    # ------------------------------------------------------------------ runs

    def on_vtable_chosen(self) -> None:
        """Enter."""
        if not self._turn_fold():
            self.host.go(self.host.last_page)

    def at_run(self) -> str:
        """The run under the cursor."""
        row = self.table.current
        return row.id if row is not None and not isinstance(row, Fold) else ""

    def copied(self) -> str:
        """The id of the run under the cursor; of a fold those of all its runs."""
        row = self.table.current
        return "\n".join(run.id for run in row.runs) if isinstance(row, Fold) else self.at_run()

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

    def _marks_changed(self) -> None:
        self._keys()
        self._head()
        self.table.redraw()
        self._cursor_moved()

    def action_compare(self) -> None:
        """The comparison of the marked runs."""
        if self.host.marks.ids:
            self.host.go(9)
        else:
            self.note = "nothing is marked: space marks a run"
            self._head()

    # ------------------------------------------------------------------ filter and order

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

    # ------------------------------------------------------------------ as data

    def shown(self) -> Shown | None:
        """All rows of the table with real values; in a fold the mean, and how many runs it has."""
        columns = [column for column in self.table.columns if column.value is not None]
        if self.model is None or not columns:
            return None
        folded = self.look.is_folded
        rows = [
            [column.value(row) for column in columns if column.value is not None]
            + ([len(row.runs) if isinstance(row, Fold) else 1] if folded else [])
            for row in (self.table.rows[i] for i in self.table.order)
        ]
        names = [column.key for column in columns] + (["runs"] if folded else [])
        return Shown("runs", tuple(names), rows)

    def remembered(self) -> dict[str, Any]:
        """Filter, order, columns, preview, folding; the row, "" where the newest is followed."""
        row, is_sorted = self.table.current, self.look.sorted_by is not None
        at = row_id(row) if row is not None and (self._arrived_at or is_sorted) else self._recalled
        return {**self.look.remembered(), "preview": self.has_preview, "row": at}

    def recall(self, memory: dict[str, Any]) -> None:
        """Take them up; what is not of the right kind stays as it is."""
        self.look.recall(memory)
        if isinstance(memory.get("preview"), bool):
            self.has_preview = memory["preview"]
        self._recalled = row if isinstance(row := memory.get("row"), str) else ""
        self._share(self.size.height)
        self._columns()
        self._reorder()
