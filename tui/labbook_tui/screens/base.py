"""What all screens share: wants told to the reader when shown, and a plain line when too small."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget

from labbook_tui.bars import LEAST, Small
from labbook_tui.models import Want
from labbook_tui.palette import Ink

if TYPE_CHECKING:
    from textual import events
    from textual.app import ComposeResult

    from labbook_tui.feed import Feed
    from labbook_tui.images.picture import Picture
    from labbook_tui.marks import Marks
    from labbook_tui.shown import Shown

__all__ = ["BaseScreen"]


class _Host(Protocol):
    feed: Feed
    ink: Ink
    marks: Marks

    @property
    def last_page(self) -> int: ...
    def go(self, page: int) -> None: ...
    def recall(self, screen: BaseScreen) -> None: ...
    def say(self, text: str, meaning: str = "good") -> None: ...


class BaseScreen(Screen[None]):
    """A screen that shows models: `wants()` says which, `take` gets them."""

    DEFAULT_CSS = """
    BaseScreen { layout: vertical; overflow: hidden; }
    BaseScreen #page { height: 1fr; }
    BaseScreen.small #page { display: none; }
    BaseScreen.small Small { display: block; }
    """

    NAME: ClassVar[str] = ""
    """The key under which the look of this screen is remembered, and its heading in the help."""
    EXPLAINED: ClassVar[list[tuple[str, str]]] = []
    """Every key of this screen with what it does in full, for the help page."""

    def compose(self) -> ComposeResult:
        """The page, and what is shown in its place."""
        yield Vertical(*self.page(), id="page")
        yield Small()

    def page(self) -> Iterable[Widget]:
        """Widgets of the page from the top."""
        return ()

    def wants(self) -> tuple[Want, ...]:
        """What this screen shows now."""
        return ()

    def take(self, want: Want, model: object) -> None:
        """A model this screen asked for has come."""

    def helped(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """(heading, keys) of what is on screen now, for the help page."""
        return [(self.NAME, self.EXPLAINED)] if self.EXPLAINED else []

    def at_run(self) -> str:
        """The run that this screen is about, or that is under the cursor; "" for none."""
        return ""

    def copied(self) -> str:
        """What is copied from here: the thing under the cursor, "" for nothing."""
        return ""

    def shown(self) -> Shown | None:
        """What is shown, as data, to be written to a file."""
        return None

    def picture(self) -> Picture | None:
        """The picture that the terminal is to draw here, in cells of the screen."""
        return None

    def remembered(self) -> dict[str, Any]:
        """How this screen is looked at, as plain JSON, kept for next time."""
        return {}

    def recall(self, memory: dict[str, Any]) -> None:
        """Take up what `remembered` gave; it may be of another version, or damaged."""

    def repaint(self) -> None:
        """The colours are others: make anew what holds styles."""

    @property
    def host(self) -> _Host:
        """The app, with what screens use of it."""
        return cast(_Host, self.app)

    def ask(self) -> None:
        """Tell the reader what is visible; nothing is polled for a page that is not."""
        if self.is_current:
            self.host.feed.want(() if self.has_class("small") else self.wants())

    def on_mount(self) -> None:
        """Look as it did last time (Textual calls this after a subclass's own)."""
        self.host.recall(self)

    def on_screen_resume(self) -> None:
        """Shown again: read again."""
        self.ask()

    def on_resize(self, event: events.Resize) -> None:
        """Choose between page and plain line."""
        is_small = event.size.width < LEAST[0] or event.size.height < LEAST[1]
        if is_small != self.has_class("small"):
            self.set_class(is_small, "small")
            self.ask()
