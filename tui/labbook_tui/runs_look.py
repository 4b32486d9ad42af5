"""How the runs are looked at: filter, order, columns and folding, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from labbook.book.completing import Completion, complete, complete_field
from labbook.book.fields import Fields
from labbook.book.filtering import Test, parse
from labbook.errors import MisuseError
from labbook_tui.arranging import arranged
from labbook_tui.folding import Fold, fold_key

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary
    from labbook_tui.models import RunsModel
    from labbook_tui.run_columns import RunColumns

__all__ = ["RunsLook"]

MOST_COLUMNS = 1000


class RunsLook:
    """`sorted_by` is a column or a field with whether it is downward; `chosen` None: automatic."""

    def __init__(self) -> None:
        self.filter = ""
        self.sorted_by: tuple[str, bool] | None = None
        self.chosen: list[str] | None = None
        self.is_folded = False
        self.opened: set[str] = set()
        self._fields = Fields(())
        self._test: Test | None = None
        self._keys: Mapping[str, tuple[RunSummary, str | None]] = {}

    def learn(self, model: RunsModel) -> None:
        """Fields of the runs as they are now; a filter remembered may only now make sense."""
        self._fields, self._keys = model.fields, model.fold_keys
        if self.filter_by(self.filter) and self._test is None:
            self.filter = ""  # remembered, of runs that are gone

    def filter_by(self, text: str) -> str:
        """Take a filter; one that cannot be read changes nothing, and what is wrong is returned."""
        text = " ".join(text.split("\n")).strip()
        try:
            self._test = parse(text, self._fields) if text else None
        except MisuseError as error:
            return str(error).removeprefix(f"filter {text!r} ")
        self.filter = text
        return ""

    def completed(self, text: str) -> Completion:
        """What the end of a filter may become."""
        return complete(text, self._fields)

    def completed_field(self, text: str) -> Completion:
        """What the field to sort by may become."""
        return complete_field(text, self._fields)

    def sort_by(self, text: str) -> str:
        """Sort by a field, `-field` downwards; returns what is wrong, and changes nothing then."""
        name = text.strip()
        is_down = name.startswith("-")
        name = name.removeprefix("-")
        if not name:
            return ""
        try:
            field = self._fields[name]
        except MisuseError as error:
            return str(error)
        key = field.name
        if key in self._fields.arguments:
            key = f"args.{key}"
        elif key in self._fields.metrics:
            key = f"result.{key}"
        self.sorted_by = (key, is_down)
        return ""

    def rows(self, model: RunsModel, made: RunColumns) -> tuple[list[RunSummary | Fold], int]:
        """The rows of the table, and how many runs are in them."""
        by, is_down = None, False
        if self.sorted_by is not None:
            key, is_down = self.sorted_by
            by = self._by(key, made)
        keys = self._fold_key if self.is_folded else None
        return arranged(
            model.rows, self._test, by=by, is_down=is_down, folds=keys, opened=self.opened
        )

    def _by(self, key: str, made: RunColumns) -> Callable[[RunSummary], Any] | None:
        column = next((c for c in made.columns([key]) if c.key == key), None)
        if column is not None:
            return column.by
        try:
            field = self._fields[key]
        except MisuseError:
            return None  # no run has it any more
        return field.order or field.get

    def _fold_key(self, run: RunSummary) -> str | None:
        known = self._keys.get(run.id)
        return known[1] if known is not None and known[0] is run else fold_key(run)

    def remembered(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "filter": self.filter,
            "sort": list(self.sorted_by) if self.sorted_by else None,
            "columns": self.chosen,
            "folded": self.is_folded,
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Take up what `remembered` gave; what is not of the right kind stays as it is."""
        words, order = memory.get("filter"), memory.get("sort")
        if isinstance(words, str) and len(words) < 10_000:
            self.filter_by(words)
            self.filter = words.strip()  # which fields there are is known with the runs
        if isinstance(order, list) and [type(part) for part in order] == [str, bool]:
            self.sorted_by = (order[0], order[1])
        chosen = memory.get("columns")
        if isinstance(chosen, list) and all(isinstance(name, str) for name in chosen):
            self.chosen = chosen[:MOST_COLUMNS]
        if isinstance(memory.get("folded"), bool):
            self.is_folded = memory["folded"]
