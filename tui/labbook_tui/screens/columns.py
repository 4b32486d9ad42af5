"""The columns of the runs table, to choose and to order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.widget import Widget

from labbook.book.text import clean
from labbook_tui.bars import Header, Keys
from labbook_tui.lines import Line, Lines, fit, under
from labbook_tui.palette import seg
from labbook_tui.prompt import Prompt
from labbook_tui.screens.base import BaseScreen
from labbook_tui.text import cut

__all__ = ["ColumnsScreen"]

KEYS = [
    ("space", "show or hide"),
    ("J K", "move down, up"),
    ("/", "find"),
    ("r", "as at first"),
    ("esc", "done"),
]
WORDS = {
    "spark": "course of the main series",
    "lag": "steps since the newest evaluated checkpoint",
    "gpu": "use of its GPUs now, if live",
    "silent": "since a live run wrote last",
    "took": "from start to end",
    "step": "newest step",
}
KINDS = {
    "last": "newest value of a series",
    "best": "best value of a series, by its name",
    "min": "least value of a series",
    "max": "greatest value of a series",
    "result": "result of the newest checkpoint",
    "args": "argument",
}


class _List(Lines, can_focus=True):
    """Names with a mark before those chosen; a cursor."""

    def __init__(self) -> None:
        super().__init__(id="list")
        self.names: list[str] = []
        self.chosen: list[str] = []
        self.cursor = 0
        self.top = 0

    @property
    def current(self) -> str:
        return self.names[self.cursor] if self.names else ""

    def show(self, names: list[str], chosen: list[str], cursor: int) -> None:
        self.names, self.chosen = names, chosen
        self.cursor = min(max(0, cursor), max(0, len(names) - 1))
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        ink = self.ink
        self.top = min(max(self.top, self.cursor - height + 1), self.cursor)
        lines: list[Line] = []
        longest = max((cell_len(clean(name)) for name in self.names), default=0)
        room = min(max(20, longest), width // 2)
        for place in range(self.top, min(len(self.names), self.top + height)):
            name = self.names[place]
            is_chosen = name in self.chosen
            sign = f"[{ink.glyphs.done if is_chosen else ' '}]"
            words = WORDS.get(name) or KINDS.get(name.partition(".")[0], "")
            line = [
                seg(f" {sign} ", ink.of("good" if is_chosen else "dim")),
                *fit([seg(cut(clean(name), room), ink.of("text" if is_chosen else "dim"))], room),
                seg(" " + cut(words, width - room - 8), ink.of("dim")),
            ]
            lines.append(under(fit(line, width), ink.cursor) if place == self.cursor else line)
        if not self.names:
            lines.append([seg(" no column is called so", ink.of("dim"))])
        return lines


class ColumnsScreen(BaseScreen):
    """`told` gets the names chosen, in order, after each change; None for those of the start."""

    NAME = "columns"
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("space enter", "show or hide the column"),
        ("J K", "move it down, up"),
        ("/", "find by name"),
        ("r", "the columns as at first"),
        ("esc", "done"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "down", show=False),
        Binding("k,up", "move(-1)", "up", show=False),
        Binding("ctrl+d,pagedown", "move(10)", "page down", show=False),
        Binding("ctrl+u,pageup", "move(-10)", "page up", show=False),
        Binding("g,home", "move(-100000)", "first", show=False),
        Binding("G,end", "move(100000)", "last", show=False),
        Binding("space,enter", "show", "show or hide"),
        Binding("J,shift+down", "shift(1)", "move the column down"),
        Binding("K,shift+up", "shift(-1)", "move the column up"),
        Binding("slash", "find", "find"),
        Binding("r", "reset", "as at first"),
        Binding("escape,E,backspace", "close", "done"),
    ]

    def __init__(
        self,
        known: list[str],
        automatic: list[str],
        chosen: list[str] | None,
        told: Callable[[list[str] | None], None],
    ) -> None:
        super().__init__()
        self.known, self.automatic, self.told = known, automatic, told
        self.chosen = [*(automatic if chosen is None else chosen)]
        self.is_own = chosen is not None
        self.search = ""

    def page(self) -> Iterable[Widget]:
        """Header, list, prompt, footer."""
        yield Header(id="head")
        yield _List()
        yield Prompt(id="prompt")
        yield Keys(id="keys")

    @property
    def list(self) -> _List:
        """The names."""
        return self.query_one("#list", _List)

    def on_mount(self) -> None:
        """Show the names."""
        self.query_one("#keys", Keys).show(KEYS)
        self.list.focus()
        self._show(0)

    def _show(self, cursor: int) -> None:
        """The chosen ones in their order, then all others."""
        names = [*self.chosen, *(name for name in self.known if name not in self.chosen)]
        found = [name for name in names if self.search.lower() in name.lower()]
        self.list.show(found, self.chosen, cursor)
        ink = self.host.ink
        words = f"{len(self.chosen)} of {len(names)} shown" + (
            "" if self.is_own else ", as at first"
        )
        title = [seg(" columns of the runs  ", ink.of("accent", "b")), seg(words, ink.of("dim"))]
        self.query_one("#head", Header).show([title])

    def _change(self, cursor: int) -> None:
        self.is_own = True
        self.told([*self.chosen])
        self._show(cursor)

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self.list.show(self.list.names, self.chosen, self.list.cursor + by)

    def action_show(self) -> None:
        """Show the column under the cursor, or hide it."""
        name, place = self.list.current, self.list.cursor
        if not name:
            return
        if name in self.chosen:
            self.chosen.remove(name)
        else:
            self.chosen.append(name)
        self._change(place)

    def action_shift(self, by: int) -> None:
        """Move a shown column among those shown."""
        name = self.list.current
        if name not in self.chosen or self.search:
            return
        place = self.chosen.index(name)
        following = min(max(0, place + by), len(self.chosen) - 1)
        self.chosen.insert(following, self.chosen.pop(place))
        self._change(following)

    def action_reset(self) -> None:
        """The columns as they are chosen for a book of this kind."""
        self.chosen, self.is_own = [*self.automatic], False
        self.told(None)
        self._show(0)

    def action_find(self) -> None:
        """Type a part of a name."""
        self.query_one("#prompt", Prompt).open(self.search)

    def on_prompt_changed(self) -> None:
        """Find while it is typed."""
        self.search = self.query_one("#prompt", Prompt).value
        self._show(0)

    def on_prompt_closed(self, message: Prompt.Closed) -> None:
        """Escape forgets the search."""
        if not message.kept:
            self.search = ""
        self._show(0)
        self.list.focus()

    def repaint(self) -> None:
        """Other colours."""
        self._show(self.list.cursor)

    def action_close(self) -> None:
        """Out of a search first."""
        if self.search:
            self.search = ""
            self._show(0)
        else:
            self.app.pop_screen()
