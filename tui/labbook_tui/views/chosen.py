"""Examples: the chosen set as a map over the run, the example under the cursor, its measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from labbook.book.text import clean
from labbook_tui.example_output import said
from labbook_tui.example_panel import example_lines
from labbook_tui.images.picture import Picture
from labbook_tui.lines import Line, fit
from labbook_tui.models import ChosenModel, Want
from labbook_tui.palette import Ink, seg
from labbook_tui.shown import Shown
from labbook_tui.text import grouped
from labbook_tui.views.base import MOVES, View
from labbook_tui.views.chosen_example import large_lines, picture_place, side_width
from labbook_tui.views.chosen_histogram import histogram_lines
from labbook_tui.views.chosen_look import NOTHING, ORDERS, Look, missing
from labbook_tui.views.chosen_map import grid_of, map_lines, step_text
from labbook_tui.views.chosen_pages import scatter_lines, summary_lines
from labbook_tui.views.chosen_quartiles import exemplars, quartile_lines
from labbook_tui.views.chosen_shown import shown_of

__all__ = ["PAGES", "ChosenView"]

PAGES = ("map", "scatter", "quartiles", "histogram", "summary")
"""What `v` goes through."""
READ = ("histogram", "summary")
"""Pages that need more than the others."""

_WHOLE: dict[str, Callable[[Look, int, int, Ink], list[Line]]] = {
    "quartiles": quartile_lines,
    "histogram": histogram_lines,
    "summary": summary_lines,
}
"""Pages without a panel beside them."""


_IDLE = {
    "histogram": {"j k", "n N", "o"},
    "summary": {"j k", "h l", "n N", "o", "a"},
}
"""Keys of the footer that change nothing on these pages."""


class ChosenView(View):
    """One chosen set. Every page has the same two cursors: an example, and an observation."""

    KIND = "chosen"
    NAME = "Examples"
    KEYS: ClassVar[list[tuple[str, str]]] = [
        ("j k", "example"),
        ("h l", "step"),
        ("enter", "large"),
        ("v", "view"),
        ("t", "measure"),
        ("o", "sort"),
        ("a", "wrong"),
        ("n N", "change"),
        ("/", "filter"),
        ("c", "next set"),
        ("i", "image"),
    ]
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("j k", "example; among quartiles, the next exemplar"),
        ("h l H L", "step, ten steps"),
        ("ctrl+d ctrl+u", "ten examples; further charts"),
        ("n N", "next, previous change of the output"),
        ("enter", "the example large, esc back"),
        ("i", "its input on the whole screen: picture, text or numbers"),
        ("v V", "map, scatter, quartiles, histogram, summary"),
        ("t", "map of loss, confidence, error, correct"),
        ("o", "sort: loss, mean, change, forgotten …"),
        ("a", "only examples that are wrong now"),
        ("/", "filter: wrong  forgot>=1  class:3  17"),
        ("c", "another chosen set"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        *MOVES,
        Binding("h,left", "step(-1)", "earlier", show=False),
        Binding("l,right", "step(1)", "later", show=False),
        Binding("H", "step(-10)", "ten earlier", show=False),
        Binding("L", "step(10)", "ten later", show=False),
        Binding("n", "change(1)", "next change", show=False),
        Binding("N", "change(-1)", "previous change", show=False),
        Binding("enter,z", "large", "large", show=False),
        Binding("i", "image", "input large", show=False),
        Binding("v", "page_of(1)", "next view", show=False),
        Binding("V", "page_of(-1)", "previous view", show=False),
        Binding("t", "measure", "measure", show=False),
        Binding("o", "sort", "sort", show=False),
        Binding("a", "wrong", "only wrong ones", show=False),
        Binding("c", "other", "another chosen set", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.model: ChosenModel | None = None
        self.set_name = ""
        self.page = PAGES[0]
        self.is_large = False
        self.look = Look(NOTHING)

    def keys(self) -> list[tuple[str, str]]:
        """Without those of one example on a page of all, and of other sets where there are none."""
        idle = set() if self.is_large else _IDLE.get(self.page, set())
        others = self.model is not None and len(self.model.sets) > 1
        return [pair for pair in self.KEYS if pair[0] not in idle and (others or pair[0] != "c")]

    def want(self, run_id: str) -> Want:
        """One chosen set; what only one page shows is read for that page."""
        page = self.page if self.page in READ else ""
        return Want(self.KIND, run_id, (self.set_name, page) if self.set_name or page else ())

    def accept(self, model: object) -> None:
        """Keep the model; the cursor stays on its example."""
        if isinstance(model, ChosenModel):
            self.model = model
            self.look.take(model)
            self._footer()

    def draw(self, width: int, height: int) -> list[Line]:
        """The page, or why there is none."""
        model, look = self.model, self.look
        if model is None:
            return self.waiting()
        empty = missing(model, "" if self.is_large else self.page)
        if empty:
            return self.note(empty)
        if look.row is None:
            return self.note(
                "no example is left: / and a change what is shown, esc clears a filter"
            )
        if self.is_large:
            return large_lines(look, width, height, self.ink)
        if self.page in _WHOLE:
            return self._whole(width, height)
        return self._beside(width, height)

    def picture(self) -> Picture | None:
        """The input of the large example."""
        model, look = self.model, self.look
        if not self.is_large or model is None or look.row is None or missing(model, ""):
            return None
        place, pixels = picture_place(look, *self.size, self.ink), model.examples[look.row].image
        return None if place is None or pixels is None else Picture(pixels, place)

    def _whole(self, width: int, height: int) -> list[Line]:
        if self.page in READ and self.look.model.read_for != self.page:
            return self.note("reading…")
        return _WHOLE[self.page](self.look, width, height, self.ink)

    def _beside(self, width: int, height: int) -> list[Line]:
        """Map or scatter, and the panel of the example."""
        look, ink = self.look, self.ink
        side = side_width(width)
        left = width - side - 3
        draw = map_lines if self.page == "map" else scatter_lines
        lines = draw(look, left, height, ink)
        assert look.row is not None
        panel = example_lines(look.model, (look.row, look.observation), (side - 1, height), ink)
        gap: Line = [seg(f" {ink.glyphs.side} ", ink.of("faint"))]
        return [
            [
                *fit(lines[row] if row < len(lines) else [], left),
                *gap,
                *(panel[row] if row < len(panel) else []),
            ]
            for row in range(height)
        ]

    def action_move(self, by: int) -> None:
        """To another example."""
        if self.page == "quartiles" and not self.is_large:
            self._exemplar(by)
        else:
            self.look.move(by)
        self.redraw()

    def _exemplar(self, by: int) -> None:
        """To the next of the five; from any other example to the first or last."""
        look = self.look
        found = exemplars(look.model, look.observation, look.rows)
        rows = list(dict.fromkeys(each.row for each in found))
        if rows:
            at = rows.index(look.row) + by if look.row in rows else (0 if by > 0 else len(rows))
            look.go(rows[min(max(0, at), len(rows) - 1)])

    def action_page(self, by: int) -> None:
        """By ten examples, or by two charts."""
        if self.page == "summary" and not self.is_large:
            self.look.chart += 2 * by
            self.redraw()
        else:
            self.action_move(10 * by)

    def action_ends(self, last: int) -> None:
        """The first or the last in the order."""
        self.action_move(10**9 if last else -(10**9))

    def action_step(self, by: int) -> None:
        """To an earlier or later observation, on the map by its columns; the newest is followed."""
        if self.model is None or not len(self.model.steps):
            return
        width = self.size.width - side_width(self.size.width) - 3
        is_map = self.page == "map" and not self.is_large
        here = self.look.observation
        to = grid_of(self.model, width).moved(here, by) if is_map else here + by
        self.look.step(to - here)
        self.redraw()

    def action_change(self, by: int) -> None:
        """To the next or previous observation whose output is another."""
        if self.model is not None and not self.look.change(by):
            self.app.notify("no further change" if by > 0 else "no earlier change", timeout=2)
        self.redraw()

    def action_large(self) -> None:
        """The example large, or back."""
        self.is_large = not self.is_large and self.look.row is not None
        self._footer()
        self.redraw()

    def action_image(self) -> None:
        """The input alone, on the whole screen."""
        from labbook_tui.screens.image import ImageScreen

        model, row = self.model, self.look.row
        if model is not None and row is not None:
            self.app.push_screen(ImageScreen(model.examples[row], model.summary.id))

    def close(self) -> bool:
        """Out of the large example, then back to the map."""
        if not self.is_large and self.page == PAGES[0]:
            return False
        if not self.is_large:
            self.page = PAGES[0]
        self.is_large = False
        self._ask()
        self.redraw()
        return True

    def action_page_of(self, by: int) -> None:
        """Map, scatter, quartiles, histogram, summary."""
        self.is_large = False
        self.page = PAGES[(PAGES.index(self.page) + by) % len(PAGES)]
        self._ask()
        self.redraw()

    def action_measure(self) -> None:
        """Another measure on the map."""
        self.look.next_measure()
        self.page, self.is_large = PAGES[0], False
        self._ask()
        self.redraw()

    def action_sort(self) -> None:
        """Another order."""
        self.look.next_order()
        self.redraw()

    def action_wrong(self) -> None:
        """Only those that are wrong now, or all."""
        model, look = self.model, self.look
        if model is None or "correct" not in model.grids:
            why = [note for note in model.notes if "accuracy" in note] if model else []
            self.app.notify(clean((why or ["right and wrong were not recorded"])[0]), timeout=4)
            return
        keep = look.example_id
        look.only_wrong = not look.only_wrong
        look.arrange(keep)
        self.redraw()

    def search(self, text: str) -> str:
        """Only examples that meet the filter."""
        keep = self.look.example_id
        self.look.pattern = text.strip()
        self.look.arrange(keep)
        self.redraw()
        total = len(self.look.model.ids)
        return f"{grouped(len(self.look.rows))} of {grouped(total)} examples" if text else ""

    def action_other(self) -> None:
        """Another chosen set."""
        if self.model is not None and len(self.model.sets) > 1:
            sets = self.model.sets
            self.set_name = sets[(sets.index(self.model.name) + 1) % len(sets)]
            self.look.place, self.look.at = 0, None
            self._ask()

    def _ask(self) -> None:
        """Tell the reader when another page needs more, and the footer what it is."""
        ask = getattr(self.screen, "ask", None)
        if ask is not None:
            ask()
        self._footer()

    def _footer(self) -> None:
        show = getattr(self.screen, "show_keys", None)
        if show is not None and self.display:
            show()

    def copied(self) -> str:
        """Example, step, target and output."""
        look, model = self.look, self.model
        if model is None or look.row is None:
            return ""
        example, step = model.examples[look.row], step_text(model, look.observation)
        parts = [f"example {example.id}", f"step {step.replace(' ', '')}"]
        if example.target:
            parts.append(f"target {example.target}")
        output = said(model, look.row, look.observation)
        return ", ".join([*parts, f"output {output}"] if output else parts)

    def shown(self) -> Shown | None:
        """What the page shows: examples and their measures, one example, counts, or curves."""
        if self.model is None or self.look.row is None:
            return None
        return shown_of(self.look, "example" if self.is_large else self.page)

    def remembered(self) -> dict[str, Any]:
        """Set, page, measure, order and whether only wrong ones are shown."""
        look = self.look
        return {
            "set": self.set_name,
            "page": self.page,
            "measure": look.measure,
            "order": look.order_name,
            "only_wrong": look.only_wrong,
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Take what is of a known kind."""
        page, order = memory.get("page"), memory.get("order")
        if isinstance(memory.get("set"), str):
            self.set_name = memory["set"]
        if page in PAGES:
            self.page = page
        if order in ORDERS:
            self.look.order_name = order
        if isinstance(memory.get("measure"), str):
            self.look.measure = memory["measure"]
        self.look.only_wrong = memory.get("only_wrong") is True
