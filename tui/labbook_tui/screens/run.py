"""One run: its header with everything that must not be missed, and its views by digits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.widget import Widget

from labbook.book.text import clean
from labbook.errors import LabbookError
from labbook_tui import writing
from labbook_tui.bars import Header, Keys
from labbook_tui.entry import Entry
from labbook_tui.lines import Line
from labbook_tui.models import CodeModel, Problem, Want
from labbook_tui.palette import seg
from labbook_tui.prompt import Prompt
from labbook_tui.run_header import drift_line, second_line, title_line
from labbook_tui.screens.base import BaseScreen
from labbook_tui.views.base import Scrolled, View
from labbook_tui.views.chosen import ChosenView
from labbook_tui.views.conditions import ConditionsView
from labbook_tui.views.curves import CurvesView
from labbook_tui.views.evaluations import EvaluationsView
from labbook_tui.views.events import EventsView
from labbook_tui.views.machine import MachineView
from labbook_tui.views.output import OutputView

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary
    from labbook_tui.images.picture import Picture
    from labbook_tui.shown import Shown

__all__ = ["VIEWS", "RunScreen"]

VIEWS: tuple[type[View], ...] = (
    CurvesView,
    ChosenView,
    EvaluationsView,
    MachineView,
    ConditionsView,
    OutputView,
    EventsView,
)
"""In the order of the digits from 2."""


class RunScreen(BaseScreen):
    """The page of one run."""

    NAME = "run"
    DEFAULT_CSS = "RunScreen Header { height: 3; } RunScreen View { display: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "back", "back"),
        Binding("slash", "find", "find or filter"),
    ]

    def __init__(self, run: RunSummary | None, view: int = 2, run_id: str = "") -> None:
        super().__init__()
        self.run = run
        self.run_id = run.id if run is not None else run_id
        self.number = view
        self.views = tuple(kind() for kind in VIEWS)
        self.problem = ""
        self.code: CodeModel | None = None
        self._head_height = 3

    @classmethod
    def named(cls, run_id: str, page: str = "curves") -> RunScreen:
        """The page of a run of which only the id is known yet, on the view of that kind."""
        return cls(None, 2 + [view.KIND for view in VIEWS].index(page), run_id)

    def page(self) -> Iterable[Widget]:
        """Header, views, prompt, footer."""
        yield Header(id="head")
        yield from self.views
        yield Prompt(id="prompt")
        yield Entry(id="entry")
        yield Keys(id="keys")

    @property
    def view(self) -> View:
        """The view shown."""
        return self.views[self.number - 2]

    def on_mount(self) -> None:
        """Show the first view."""
        self.action_view(self.number)
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        if self.is_current and self.run is not None and self.run.state == "running":
            self._head()

    def wants(self) -> tuple[Want, ...]:
        """What the view in sight wants, and what became of the code."""
        return (self.view.want(self.run_id), Want("code", self.run_id))

    def take(self, want: Want, model: object) -> None:
        """A model for the view in sight, or for the header."""
        if want.kind == "code":
            self.code = model if isinstance(model, CodeModel) else None
            self._head()
            return
        summary = getattr(model, "summary", None)
        if summary is not None:
            self.run = summary
        self.problem = model.text if isinstance(model, Problem) else ""
        self.view.take(model)
        self._head()

    def helped(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """The keys of the view in sight first, then those of the others."""
        views = [self.view, *(view for view in self.views if view is not self.view)]
        return [(view.NAME, view.EXPLAINED) for view in views if view.EXPLAINED]

    def at_run(self) -> str:
        """This run."""
        return self.run_id

    def copied(self) -> str:
        """What the view in sight has under its cursor."""
        return self.view.copied()

    def shown(self) -> Shown | None:
        """What the view in sight shows."""
        return self.view.shown()

    def picture(self) -> Picture | None:
        """That of the view in sight."""
        found = self.view.picture()
        if found is None:
            return None
        x, y = self.view.region.offset
        return replace(found, place=found.place.moved(x, y))

    def remembered(self) -> dict[str, Any]:
        """The page and the look of every view."""
        return {"page": self.number} | {view.KIND: view.remembered() for view in self.views}

    def recall(self, memory: dict[str, Any]) -> None:
        """The look of every view."""
        for view in self.views:
            found = memory.get(view.KIND)
            if isinstance(found, dict):
                view.recall(found)

    def repaint(self) -> None:
        """Other colours."""
        self._head()

    def _head(self) -> None:
        ink, width, head = self.host.ink, self.size.width, self.query_one("#head", Header)
        if self.run is None:
            words = self.problem or "reading…"
            first = [seg(f" {self.run_id}  ", ink.of("text", "b")), seg(words, ink.of("dim"))]
            head.show([first, [], self._tabs()])
            return
        first = title_line(self.run, width, ink)
        lines = [first, second_line(self.run, self.code, width, ink)]
        drift = drift_line(self.code, width, ink)
        lines += [drift] if drift else []
        height = len(lines) + 1
        if self._head_height != height:
            self._head_height = height
            head.styles.height = height
        head.show([*lines, self._tabs()])

    def _tabs(self) -> Line:
        ink = self.host.ink
        names = [(1, "Runs"), *((i + 2, view.NAME) for i, view in enumerate(self.views))]
        least = sum(len(name) + 3 for _, name in names)
        wide = least + len(names) < self.size.width
        line: Line = [seg(" ")]
        for number, name in names:
            is_here = number == self.number
            if least > self.size.width and not is_here:
                line.append(seg(f"{number}  ", ink.of("faint")))
                continue
            style = ink.of("accent", "bu") if is_here else ink.of("dim")
            line += [
                seg(f"{number} ", ink.of("accent" if is_here else "faint")),
                seg(name, style),
                seg("  " if wide else " "),
            ]
        return line

    def action_view(self, number: int) -> None:
        """Show a view; what it showed before is still there."""
        self.number = number
        for view in self.views:
            view.display = view is self.view
        self.view.focus()
        self.show_keys()
        self._head()
        self.ask()

    def show_step(self, step: int) -> None:
        """The curves over steps, with the cursor at this one."""
        curves = self.views[0]
        if isinstance(curves, CurvesView):
            if curves.model is None or curves.model.axis != "step":
                curves.axis, curves.model = "step", None  # another axis would take the cursor away
            limits = curves.options.x_limits
            is_seen = limits is not None and limits[0] <= step <= limits[1]
            curves.options = replace(
                curves.options, cursor=float(step), x_limits=limits if is_seen else None
            )
            self.action_view(2)
            curves.redraw()

    def show_keys(self) -> None:
        """The footer, which another page within a view may change."""
        keys = self.view.keys()
        finds = isinstance(self.view, Scrolled) and ("/", "find") not in keys
        more = [*([("/", "find")] if finds else []), ("1-9", "page"), ("esc", "back")]
        self.query_one("#keys", Keys).show([*keys, *more, ("?", "help")])

    def action_leave(self) -> None:
        """To the runs."""
        self.app.pop_screen()

    def action_back(self) -> None:
        """Out of a search or a large chart first, then to the runs."""
        prompt = self.query_one("#prompt", Prompt)
        if prompt.value:
            prompt.value = ""
            self.view.search("")
        elif not self.view.close():
            self.action_leave()

    # ------------------------------------------------------------------ notes and tags

    def edit_notes(self) -> None:
        """The notes in the user's editor; without one, or where it cannot run, a line more."""
        words = writing.editor()
        if words:
            try:
                with self.app.suspend():
                    text = writing.edited(words, writing.notes_of(self._book, self.run_id))
            except (SuspendNotSupported, OSError):
                words = []
            else:
                if text is not None:
                    self._write(partial(writing.replace_notes, self._book, self.run_id, text))
                return
        then = partial(writing.add_note, self._book, self.run_id)
        note = "added below; $EDITOR edits them all"
        self._entry.ask("note", note, lambda line: self._write(partial(then, line)))

    def ask_tags(self) -> None:
        """Tags, commas between."""
        then = partial(writing.change_tags, self._book, self.run_id)
        note = "commas between, -tag takes away"
        self._entry.ask("tags", note, lambda text: self._write(partial(then, text)))

    @property
    def _book(self) -> Path:
        return Path(getattr(self.app, "book", "."))

    @property
    def _entry(self) -> Entry:
        return self.query_one("#entry", Entry)

    def _write(self, change: Callable[[], None]) -> None:
        def write() -> None:
            try:
                change()
            except (LabbookError, OSError) as error:
                self.app.call_from_thread(self.app.notify, clean(error), severity="error")

        self.run_worker(write, thread=True, exit_on_error=False)

    def on_entry_changed(self) -> None:
        """Nothing is written before enter."""

    def on_entry_closed(self, message: Entry.Closed) -> None:
        """Hand over what was typed."""
        text, then = self._entry.value.strip(), self._entry.then
        self.view.focus()
        if message.kept and text and then is not None:
            then(text)

    def action_find(self) -> None:
        """Type what to find in this view."""
        if type(self.view).search is not View.search:
            self.query_one("#prompt", Prompt).open()

    def on_prompt_changed(self) -> None:
        """Find while it is typed."""
        prompt = self.query_one("#prompt", Prompt)
        said = self.view.search(prompt.value)
        prompt.tell(said, is_wrong=said.startswith("0 "))

    def on_prompt_closed(self, message: Prompt.Closed) -> None:
        """Escape forgets the search."""
        if not message.kept:
            self.query_one("#prompt", Prompt).value = ""
            self.view.search("")
        self.view.focus()
