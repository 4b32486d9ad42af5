"""One checkpoint by example, the worst first; `v` sets it beside another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from labbook_tui.bars import Header, Keys
from labbook_tui.input_pane import InputPane
from labbook_tui.lines import Line
from labbook_tui.models import CheckpointModel, Example, Problem, Want
from labbook_tui.palette import seg
from labbook_tui.prompt import Prompt
from labbook_tui.screens.base import BaseScreen
from labbook_tui.shown import Shown
from labbook_tui.table import Cell, Column, VTable
from labbook_tui.text import cut, decimals, fixed, grouped, plural
from labbook_tui.views.evaluation_table import gap_text
from labbook_tui.views.worst import changes, filtered, loss_of, orders, ranked, verdicts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CheckpointScreen"]


class CheckpointScreen(BaseScreen):
    """Every example of one result. `others` are (key, what it is) to compare with."""

    NAME = "checkpoint"
    DEFAULT_CSS = "CheckpointScreen Header { height: 3; }"
    EXPLAINED: ClassVar[list[tuple[str, str]]] = [
        ("s", "sort: worst, best, id"),
        ("v c", "beside the previous, the best, the picked checkpoint; then alone"),
        ("/", "filter: an id, wrong, right, new, class:3"),
        ("i", "the input of the example on the whole screen"),
        ("h l", "columns"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "back", "back"),
        Binding("slash", "find", "filter"),
        Binding("s", "sort", "sort"),
        Binding("v,c", "compare", "compare"),
        Binding("i", "image", "input large"),
    ]

    def __init__(
        self, run_id: str, evaluation: str, key: str, others: list[tuple[str, str]]
    ) -> None:
        super().__init__()
        self.run_id, self.evaluation, self.key = run_id, evaluation, key
        self.others = others
        self.beside = -1
        self.order_at = 0
        self.model: CheckpointModel | None = None
        self.problem = ""
        self._recalled = ""

    def page(self) -> Iterable[Widget]:
        """Header, table with the input beside it, prompt, footer."""
        yield Header(id="head")
        yield Horizontal(VTable[int](id="table"), InputPane())
        yield Prompt(id="prompt")
        yield Keys(id="keys")

    @property
    def table(self) -> VTable[int]:
        """The examples."""
        return self.query_one("#table", VTable)

    def on_mount(self) -> None:
        """Focus and footer."""
        keys = [
            ("j k", "example"),
            ("v", "compare"),
            ("s", "sort"),
            ("/", "filter"),
            ("i", "image"),
        ]
        self.query_one("#keys", Keys).show([*keys, ("?", "help"), ("esc", "back")])
        self.table.focus()
        self._head()

    def wants(self) -> tuple[Want, ...]:
        """The result, and the one beside it."""
        other = (self.others[self.beside][0],) if self.beside >= 0 else ()
        return (Want("checkpoint", self.run_id, (self.evaluation, self.key, *other)),)

    def take(self, want: Want, model: object) -> None:
        """The rows have come."""
        self.problem = model.text if isinstance(model, Problem) else ""
        if isinstance(model, CheckpointModel):
            self.model = model
            self.table.set_columns(self._columns(model))
            self._arrange()
        self._head()

    def at_run(self) -> str:
        """The run of the checkpoint."""
        return self.run_id

    def repaint(self) -> None:
        """Columns hold styles."""
        if self.model is not None:
            self.table.set_columns(self._columns(self.model))
        self._head()

    def _arrange(self) -> None:
        model = self.model
        if model is None:
            return
        names, prompt = orders(model), self.query_one("#prompt", Prompt)
        if self._recalled in names:
            self.order_at, self._recalled = names.index(self._recalled), ""
        order = ranked(model, names[self.order_at % len(names)])
        shown = filtered(model, order, prompt.value)
        self.table.empty = "no example matches: esc clears the filter"
        self.table.set_rows(range(len(order)), shown.tolist(), 0)
        if prompt.value:
            prompt.tell(f"{grouped(len(shown))} of {grouped(len(order))}", not len(shown))
        self._point()
        self._head()

    # ------------------------------------------------------------------ columns

    def _columns(self, model: CheckpointModel) -> list[Column[int]]:
        ink, rows, other = self.host.ink, model.rows, model.other
        columns: list[Column[int]] = [
            Column("id", "id", lambda row: (str(rows.ids[row]), ink.of("text", "b")), right=True)
        ]
        found, used = loss_of(rows), set()
        if found is not None:
            used.add(found[0])
            columns.append(self._numbers(found[0], found[1]))
            if other is not None and found[0] in other.columns:
                columns.append(self._numbers("before", other.columns[found[0]]))
                change = changes(model)
                if change is not None:
                    columns.append(self._change(change))
        if rows.correct is not None:
            columns.append(self._verdict(rows.correct, verdicts(model)))
            used |= {n for n, v in rows.columns.items() if v is rows.correct}
        for title, values in (("target", rows.target), ("prediction", rows.prediction)):
            if values is not None:
                columns.append(self._numbers(title, values))
                used |= {n for n, v in rows.columns.items() if v is values}
        if other is not None and other.prediction is not None:
            columns.append(self._numbers("was", other.prediction))
        rest = [(n, v) for n, v in rows.columns.items() if n not in used]
        return [*columns, *(self._numbers(name, values) for name, values in rest)]

    def _numbers(self, name: str, values: NDArray[Any]) -> Column[int]:
        if values.dtype == object:
            return Column(name, name, lambda row: (str(values[row] or ""), None), most=32)
        places = min(4, decimals(values[:1000].tolist()))

        def cell(row: int) -> Cell:
            value = float(values[row])
            if np.isnan(value):
                return "–", self.host.ink.of("dim")
            return fixed(value, places), None

        return Column(name, name, cell, right=True)

    def _change(self, change: NDArray[np.float64]) -> Column[int]:
        ink, places = self.host.ink, min(4, decimals(change[:1000].tolist()))

        def cell(row: int) -> Cell:
            value = float(change[row])
            if np.isnan(value):
                return "–", ink.of("dim")
            text = f"{'+' if value > 0 else ''}{fixed(value, places)}"
            return text, ink.of("bad" if value > 0 else "good" if value < 0 else "dim")

        return Column("change", "change", cell, right=True)

    def _verdict(
        self, correct: NDArray[np.float64], verdict: NDArray[np.float64] | None
    ) -> Column[int]:
        ink = self.host.ink

        def cell(row: int) -> Cell:
            if np.isnan(correct[row]):
                return "–", ink.of("dim")
            is_right = correct[row] == 1
            glyph = ink.glyphs.done if is_right else ink.glyphs.fail
            is_new = verdict is not None and abs(verdict[row]) == 1
            words = f"{glyph} newly {'right' if is_right else 'wrong'}" if is_new else glyph
            strong = "good" if is_right else "bad"
            return words, ink.of(strong if is_new or not is_right else "dim")

        return Column("correct", "right", cell)

    # ------------------------------------------------------------------ header

    def _head(self) -> None:
        ink, model, width = self.host.ink, self.model, self.size.width
        if model is None:
            words = self.problem or "reading…"
            self.query_one("#head", Header).show([[seg(f" {words}", ink.of("dim"))]])
            return
        rows = model.rows
        step = f"step {grouped(rows.step)}" if rows.step is not None else rows.file
        names = orders(model)
        first: Line = [
            seg(f" {step}  ", ink.of("text", "b")),
            seg(f"{self.evaluation}  {plural(len(rows.ids), 'example')}", ink.of("text")),
            seg(f"  {names[self.order_at % len(names)]}", ink.of("dim")),
        ]
        if self.beside >= 0:
            first.append(seg(f"  against the {self.others[self.beside][1]}", ink.of("accent")))
        lines = [first, *self._sums(model, width)]
        self.query_one("#head", Header).show(lines)

    def _sums(self, model: CheckpointModel, width: int) -> list[Line]:
        """Counts of what changed and the paired differences; alone, how many are wrong."""
        ink, correct = self.host.ink, model.rows.correct
        if self.problem or model.note:
            return [[seg(" " + cut(self.problem or model.note, width - 2), ink.of("bad"))]]
        if model.other is None:
            n_wrong = 0 if correct is None else int((correct == 0).sum())
            words = f"{grouped(n_wrong)} wrong" if correct is not None else ""
            if not self.others:
                words += "  no other checkpoint has a result to compare with"
            return [[seg(" " + words, ink.of("dim"))]]
        change, verdict = changes(model), verdicts(model)
        counts: Line = [seg(" ")]
        if change is not None:
            counts.append(seg(f"{grouped(int((change < 0).sum()))} better  ", ink.of("good")))
            counts.append(seg(f"{grouped(int((change > 0).sum()))} worse  ", ink.of("bad")))
        if verdict is not None:
            right, wrong = int((verdict == 1).sum()), int((verdict == -1).sum())
            counts.append(seg(f"{grouped(right)} newly right  ", ink.of("good")))
            counts.append(seg(f"{grouped(wrong)} newly wrong", ink.of("bad")))
        texts = []
        for name, gap in model.gaps.items():
            noise = " (noise)" if gap.is_noise else ""
            texts.append(f"{name} {gap_text(gap)}{noise}")
        n = next((gap.n for gap in model.gaps.values()), 0)
        paired = f" paired, n {grouped(n)}: {'  '.join(texts)}" if texts else " nothing to pair"
        return [counts, [seg(cut(paired, width - 1), ink.of("dim"))]]

    # ------------------------------------------------------------------ keys

    def _point(self) -> None:
        model, row = self.model, self.table.current
        pane = self.query_one(InputPane)
        pane.display = self.size.width >= 100
        if model is None or row is None:
            pane.show(None, [])
            return
        texts = [
            (name, str(values[row] or ""))
            for name, values in model.rows.columns.items()
            if values.dtype == object
        ]
        pane.show(self._example(), texts)

    def on_vtable_moved(self) -> None:
        """The input follows the cursor."""
        self._point()

    def action_sort(self) -> None:
        """The next order."""
        self.order_at += 1
        self._arrange()

    def action_compare(self) -> None:
        """Beside the next of the others, then alone again."""
        if not self.others:
            return
        self.beside = self.beside + 1 if self.beside + 1 < len(self.others) else -1
        self.order_at = 0
        self.ask()

    def action_image(self) -> None:
        """The input of the example under the cursor, where a chosen set has it."""
        from labbook_tui.screens.image import ImageScreen

        example = self._example()
        if example is not None:
            self.app.push_screen(ImageScreen(example, self.run_id))
        else:
            self.host.say("the input of this example is not known", "dim")

    def _example(self) -> Example | None:
        model, row = self.model, self.table.current
        return (
            None if model is None or row is None else model.examples.get(int(model.rows.ids[row]))
        )

    def action_find(self) -> None:
        """Type a filter."""
        prompt = self.query_one("#prompt", Prompt)
        prompt.open(prompt.value)

    def on_prompt_changed(self) -> None:
        """Filter while it is typed."""
        self._arrange()

    def on_prompt_closed(self, message: Prompt.Closed) -> None:
        """Escape forgets the filter."""
        if not message.kept:
            self.query_one("#prompt", Prompt).value = ""
            self._arrange()
        self.table.focus()

    def action_back(self) -> None:
        """Out of the filter first, then back to the checkpoints."""
        prompt = self.query_one("#prompt", Prompt)
        if prompt.value:
            prompt.value = ""
            self._arrange()
        else:
            self.app.pop_screen()

    def remembered(self) -> dict[str, Any]:
        """The order, by its name."""
        names = orders(self.model) if self.model is not None else []
        return {"order": names[self.order_at % len(names)]} if names else {}

    def recall(self, memory: dict[str, Any]) -> None:
        """The order, where this result has it."""
        self._recalled = name if isinstance(name := memory.get("order"), str) else ""

    def copied(self) -> str:
        """The id of the example under the cursor."""
        row = self.table.current
        return "" if row is None or self.model is None else str(self.model.rows.ids[row])

    def shown(self) -> Shown | None:
        """The rows in the order and with the columns of the table, as the numbers they are."""
        model = self.model
        if model is None:
            return None
        columns: dict[str, NDArray[Any]] = {"example": model.rows.ids, **model.rows.columns}
        parts = [("target", model.rows.target), ("prediction", model.rows.prediction)]
        columns |= {name: values for name, values in parts if values is not None}
        if model.other is not None:
            columns |= {f"before.{name}": v for name, v in model.other.columns.items()}
        lists = [values.tolist() for values in columns.values()]
        rows = [tuple(values[row] for values in lists) for row in self.table.order]
        return Shown(f"examples-{model.rows.step}", tuple(columns), rows)
