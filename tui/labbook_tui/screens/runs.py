"""The home screen: all runs in a table that follows them live, and the curve of the one chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from labbook_tui.bars import Header, Keys, Prompt
from labbook_tui.lines import Line, fit, width_of
from labbook_tui.models import CurvesModel, Problem, Reading, RunsModel, Want
from labbook_tui.palette import seg
from labbook_tui.preview import Preview
from labbook_tui.query import matches, parse
from labbook_tui.run_columns import run_columns, sort_key
from labbook_tui.screens.base import BaseScreen
from labbook_tui.shown import Shown
from labbook_tui.states import now_ns
from labbook_tui.table import VTable
from labbook_tui.text import cut, grouped, plural, value_text

if TYPE_CHECKING:
    from textual import events

    from labbook.book.summary import RunSummary

__all__ = ["RunsScreen"]

KEYS = [
    ("enter", "open"),
    ("2-8", "open at page"),
    ("/", "filter"),
    ("s S", "sort"),
    ("h l", "columns"),
    ("space", "mark"),
    ("c", "compare"),
    ("p", "preview"),
    ("?", "help"),
    ("q", "quit"),
]

EMPTY = "no runs yet. In a training script:  run = labbook.start()   run.log(loss=loss)"


class RunsScreen(BaseScreen):
    """Runs; enter opens one."""

    NAME = "runs"
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("s S", "sort by the next column; reverse"),
        ("h l", "scroll columns"),
        ("space", "mark to compare: A to G"),
        ("b", "the baseline that one marked run is compared with"),
        ("u", "take all marks away"),
        ("c", "compare the marked runs; else this one with its rival"),
        ("p", "preview on or off"),
        ("/", "filter: lr<.01 state:killed since:2d -tag:debug"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter"),
        Binding("s", "sort(1)", "sort by the next column"),
        Binding("S", "reverse", "reverse the order"),
        Binding("p", "preview", "preview on or off"),
        Binding("space", "mark", "mark", show=False),
        Binding("b", "baseline", "baseline", show=False),
        Binding("u", "unmark", "no marks", show=False),
        Binding("c", "app.go(9)", "compare", show=False),
        Binding("escape", "clear", "clear the filter"),
    ]

    def __init__(self, book: str) -> None:
        super().__init__()
        self.book = book
        self.model: RunsModel | None = None
        self.problem = ""
        self.filter = ""
        self.has_preview = True
        self._arrived_at = ""

    def page(self) -> Iterable[Widget]:
        """Header, table, preview, prompt, footer."""
        yield Header(id="head")
        yield VTable(id="runs", frozen=4)
        yield Preview(id="preview")
        yield Prompt(id="prompt")
        yield Keys(id="keys")

    @property
    def table(self) -> VTable[RunSummary]:
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
        self.query_one("#keys", Keys).show(KEYS)
        self._head()
        self.set_interval(1.0, self._tick)

    def on_resize(self, event: events.Resize) -> None:
        """The preview folds away where rows are few."""
        super().on_resize(event)
        self._share(event.size.height)

    def _share(self, height: int) -> None:
        """Rows for the preview: nearly half, and more where the runs are few."""
        runs = len(self.table.order) if self.model is not None else height
        least, most = max(9, height * 45 // 100), height * 65 // 100
        rows = 0 if height < 20 else min(max(least, height - runs - 6), most)
        if self.preview.styles.height is None or self.preview.styles.height.value != rows:
            self.preview.styles.height = rows
        self.preview.display = self.has_preview and rows > 0

    def wants(self) -> tuple[Want, ...]:
        """The runs, and the curve of the one under the cursor when it is seen."""
        run = self.table.current
        if run is None or not self.preview.display:
            return (Want("runs"),)
        return (Want("runs"), Want("preview", run.id))

    def take(self, want: Want, model: object) -> None:
        """A new table, or the curve."""
        if want.kind == "preview":
            if isinstance(model, CurvesModel):
                self.preview.give(model)
            elif isinstance(model, Problem):
                self.preview.give(None, model.text)
            return
        if isinstance(model, Problem):
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
        self.table.empty = EMPTY if not model.rows else "no run matches the filter: esc clears it"
        self.table.set_columns(run_columns(model, self.host.ink, self.host.marks))
        self._reorder(first)

    def _reorder(self, first: bool = False) -> None:
        """Filter and sort anew; the cursor stays on its run, wherever that has gone."""
        model = self.model
        if model is None:
            return
        table = self.table
        current = table.current
        follow = table.cursor == 0 and table.top == 0 and not self._arrived_at
        terms, now = parse(self.filter), now_ns()
        order = [i for i, run in enumerate(model.rows) if not terms or matches(terms, run, now)]
        if table.sorted_by is not None:
            key, is_down = table.sorted_by
            column = next((c for c in table.columns if c.key == key), None)
            if column is not None and column.sort is not None:
                value = column.sort
                known = [i for i in order if sort_key(value(model.rows[i]))[0] < 2]
                missing = [i for i in order if sort_key(value(model.rows[i]))[0] == 2]
                known.sort(key=lambda i: sort_key(value(model.rows[i])), reverse=is_down)
                order = known + missing
        keep = 0
        if current is not None and not (follow and table.sorted_by is None):
            ids = {model.rows[i].id: place for place, i in enumerate(order)}
            keep = ids.get(current.id, min(table.cursor, max(0, len(order) - 1)))
        table.set_rows(model.rows, order, keep)
        self._share(self.size.height)
        self._head()
        self._cursor_moved()

    def _head(self) -> None:
        ink, model = self.host.ink, self.model
        line: Line = [seg(" labbook ", ink.of("accent", "b")), seg(" ")]
        if model is not None:
            live = sum(run.state == "running" for run in model.rows)
            line += [seg(plural(len(model.rows), "run"), ink.of("text", "b"))]
            line += [seg(f"  {live} live", ink.of("live"))] if live else []
            dirty = sum(bool(run.dirty) for run in model.rows)
            line += [seg(f"  {grouped(dirty)} from a dirty tree", ink.of("warn"))] if dirty else []
        if self.filter:
            shown = len(self.table.order)
            line += [
                seg(f"   / {self.filter}", ink.of("accent")),
                seg(f"  {shown} shown", ink.of("dim" if shown else "bad")),
            ]
        if self.problem:
            line += [seg(f"   {self.problem}", ink.of("bad"))]
        width = self.size.width
        where = cut(self.book, max(0, width - width_of(line) - 3))
        if len(where) > 8:
            line = [*fit(line, width - len(where) - 1), seg(where, ink.of("dim"))]
        self.query_one("#head", Header).show([line])

    def _tick(self) -> None:
        if self.is_current and self.model is not None:
            self.table.redraw()

    def _cursor_moved(self) -> None:
        differing = self.model.differing if self.model else ()
        self.preview.show(self.table.current, differing)
        self.ask()

    def on_vtable_moved(self) -> None:
        """Another run under the cursor."""
        self._arrived_at = self.table.current.id if self.table.current and self.table.cursor else ""
        self._cursor_moved()

    def on_vtable_chosen(self) -> None:
        """Enter."""
        self.host.go(2)

    def at_run(self) -> str:
        """The run under the cursor."""
        return self.table.current.id if self.table.current is not None else ""

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one("#prompt", Prompt).open(self.filter)

    def action_clear(self) -> None:
        """Drop the filter."""
        self.filter = ""
        self._reorder()

    def on_prompt_changed(self) -> None:
        """Filter while it is typed; one that matches nothing is told in red."""
        prompt = self.query_one("#prompt", Prompt)
        self.filter = prompt.value
        self._reorder()
        shown, total = len(self.table.order), len(self.model.rows) if self.model else 0
        prompt.tell(f"{grouped(shown)} of {grouped(total)}", is_wrong=shown == 0)

    def on_prompt_closed(self, message: Prompt.Closed) -> None:
        """Enter keeps the filter, escape drops it."""
        if not message.kept:
            self.action_clear()
        self.table.focus()

    def action_sort(self, by: int) -> None:
        """Sort by the next column; after the last, by age again."""
        table = self.table
        keys = [column.key for column in table.columns if column.sort is not None]
        place = keys.index(table.sorted_by[0]) if table.sorted_by else -1
        following = place + by
        table.sorted_by = (keys[following], False) if 0 <= following < len(keys) else None
        self._reveal(keys[following] if table.sorted_by else "")
        self._reorder()

    def _reveal(self, key: str) -> None:
        """Scroll columns so that the sorted one is on screen."""
        table = self.table
        place = next((i for i, column in enumerate(table.columns) if column.key == key), 0)
        table.first_column = table.frozen if place < table.frozen + 3 else place - 2

    def action_reverse(self) -> None:
        """Turn the order round."""
        if self.table.sorted_by is not None:
            key, is_down = self.table.sorted_by
            self.table.sorted_by = (key, not is_down)
            self._reorder()

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away, and go on to the next."""
        run = self.table.current
        if run is None:
            return
        if not self.host.marks.toggle(run.id):
            self.host.say("seven runs are marked: u takes all marks away", "warn")
        self._show_marks()
        self.table.action_move(1)

    def action_baseline(self) -> None:
        """The run under the cursor is what a single marked one is compared with; again: none."""
        run, marks = self.table.current, self.host.marks
        if run is not None:
            marks.baseline = "" if marks.baseline == run.id else run.id
            self._show_marks()

    def action_unmark(self) -> None:
        """No marks."""
        self.host.marks.clear()
        self._show_marks()

    def _show_marks(self) -> None:
        self.table.redraw()
        self._head()

    def copied(self) -> str:
        """The id of the run under the cursor."""
        return self.at_run()

    def shown(self) -> Shown | None:
        """The table as filtered and sorted, its values as recorded."""
        if self.model is None:
            return None
        columns = [column for column in self.table.columns if column.sort is not None]
        rows = [
            [_plain(column.sort(run) if column.sort else None) for column in columns]
            for run in (self.table.rows[index] for index in self.table.order)
        ]
        return Shown("runs", tuple(column.key for column in columns), rows)

    def remembered(self) -> dict[str, Any]:
        """Filter, order and preview."""
        return {
            "filter": self.filter,
            "sorted_by": self.table.sorted_by,
            "has_preview": self.has_preview,
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Filter, order and preview."""
        self.filter = str(memory.get("filter") or "")
        order = memory.get("sorted_by")
        if isinstance(order, list) and len(order) == 2:
            self.table.sorted_by = (str(order[0]), bool(order[1]))
        self.has_preview = bool(memory.get("has_preview", True))

    def action_preview(self) -> None:
        """Show or hide the curve below."""
        self.has_preview = not self.has_preview
        self._share(self.size.height)
        self.ask()


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float) or value is None else value_text(value)
