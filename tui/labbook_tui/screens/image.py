"""The input of one example on the whole screen: a picture as large as fits, a text, or numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from labbook_tui.bars import Header, Keys
from labbook_tui.example_input import input_lines, text_lines
from labbook_tui.images.picture import Picture, Place, fitted
from labbook_tui.lines import Line, Lines
from labbook_tui.models import Example
from labbook_tui.palette import seg
from labbook_tui.screens.base import BaseScreen
from labbook_tui.text import cut

__all__ = ["ImageScreen"]


class _Pane(Lines, can_focus=True):
    def __init__(self, example: Example) -> None:
        super().__init__()
        self.example = example

    def draw(self, width: int, height: int) -> list[Line]:
        if self.place() is not None:
            return []  # the terminal draws it
        example, ink = self.example, self.ink
        if example.image is None and example.text:
            lines = text_lines(example.text, width - 2, height - 1, ink)
        else:
            lines = input_lines(example, width - 2, height - 1, ink)
        if not lines:
            lines = [[seg("the input of this example was not stored", ink.of("dim"))]]
        return [[], *([seg(" "), *line] for line in lines)]

    def place(self) -> Place | None:
        """The cells of a picture that the terminal draws itself."""
        pixels, (width, height) = self.example.image, self.size
        if pixels is None or not self.ink.draws_pixels or width < 4 or height < 4:
            return None
        columns, rows = fitted(pixels, width - 2, height - 2)
        return Place(1, 1, columns, rows)


class ImageScreen(BaseScreen):
    """Opened by `i` where an example is shown."""

    NAME = "picture"
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [("i esc", "back to the example")]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace,i", "back", "back")]

    def __init__(self, example: Example, run_id: str = "") -> None:
        super().__init__()
        self.example, self.run_id = example, run_id

    def page(self) -> Iterable[Widget]:
        """Header, the input, footer."""
        yield Header(id="head")
        yield _Pane(self.example)
        yield Keys(id="keys")

    def on_mount(self) -> None:
        """Say which example it is."""
        self.repaint()
        self.query_one("#keys", Keys).show([("esc", "back"), ("?", "help")])
        self.query_one(_Pane).focus()

    def on_screen_resume(self) -> None:
        """Nothing is read for it."""
        self.ask()

    def repaint(self) -> None:
        """Other colours."""
        ink, example = self.host.ink, self.example
        words = [f"target {example.target}"] if example.target else []
        if example.image is not None:
            words.append("×".join(str(size) for size in example.image.shape[:2]) + " pixels")
            words += [example.text] if example.text else []
        head: Line = [seg(f" example {example.id}", ink.of("text", "b"))]
        room = max(0, self.app.size.width - len(head[0].text) - 4)
        head.append(seg(f"   {cut('   '.join(words), room)}", ink.of("dim")))
        self.query_one("#head", Header).show([head])

    def picture(self) -> Picture | None:
        """The whole page."""
        pane = self.query_one(_Pane)
        place, pixels = pane.place(), self.example.image
        if place is None or pixels is None:
            return None
        return Picture(pixels, place.moved(pane.region.x, pane.region.y))

    def at_run(self) -> str:
        """The run of the example."""
        return self.run_id

    def action_back(self) -> None:
        """To where it was opened."""
        self.app.pop_screen()
