"""How a chosen set is looked at: which examples, in which order, and where the cursors are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from labbook.book.text import clean
from labbook.dynamics import ORDERS as DYNAMICS
from labbook.dynamics import order
from labbook_tui.example_query import kept
from labbook_tui.models import ChosenModel
from labbook_tui.scale import linear_axis

__all__ = ["NOTHING", "ORDERS", "Look", "Rows", "arranged", "colour_limits", "missing", "steadied"]

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Limits = tuple[float, float, bool]

ORDERS: Final = {
    "final loss": "last_loss",
    "mean loss": "mean_loss",
    "change": "",
    "times forgotten": "forgetting",
    "first learned": "first_correct",
    "error": "error",
    "class": "class",
    "id": "example",
}
"""The orders `o` goes through, and what `labbook.dynamics` calls them; the change is ours."""


NOTHING: Final = ChosenModel(
    None,  # type: ignore[arg-type]
    (),
    "",
    np.zeros(0, np.int64),
    np.zeros(0),
    (),
)
"""Before any model has come."""


def missing(model: ChosenModel, page: str) -> str:
    """What has to be recorded before there is anything to draw; "" when nothing is missing."""
    name = repr(clean(model.name))
    if not model.name:
        return (
            "no chosen set. Add  chosen = run.choose(val_set, n=64)  "
            "and  chosen.observe(model, loss_fn)"
        )
    if not len(model.steps) or not len(model.ids):
        return f"chosen set {name}: nothing observed yet (chosen.observe)"
    if not model.grids and page == "map":
        return (
            f"chosen set {name}: no loss was recorded, so there is no map. enter shows an "
            "example's outputs, chosen.observe(model, loss_fn) records a loss"
        )
    return ""


def arranged(model: ChosenModel, name: str) -> Rows:
    """Rows of all examples in an order, the ones to look at first; unknown ones last.

    "change" is the last loss less the first: what got worse comes first.
    """
    if model.table is None:
        return np.arange(len(model.ids))
    if name != "change":
        return order(model.table, ORDERS.get(name) or "example").astype(np.intp)
    with np.errstate(invalid="ignore"):
        change = model.numbers("last_loss") - model.numbers("first_loss")
    return np.argsort(-change, kind="stable")  # NaN sorts last


def orders_of(model: ChosenModel) -> list[str]:
    """The orders that say something of this set."""
    if model.table is None:
        return ["id"]
    columns = {name: DYNAMICS[by] if by else "first_loss" for name, by in ORDERS.items()}
    table = model.table
    return [name for name, of in columns.items() if table.column(of).null_count < table.num_rows]


def colour_limits(values: Floats) -> Limits:
    """Lowest and highest colour, and whether they are logarithms.

    The 1st and 99th percentile, so that one outlier does not make all others one colour; in logs
    where values span more than a factor of twenty. Rounded outwards to steps of which there are a
    few, so that new observations of a running training seldom change every colour.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0, False
    low, high = (float(v) for v in np.percentile(known, (1, 99)))
    if low >= 0 and high > 20 * max(low, 1e-12) and high > 0:
        bottom, top = np.log10(max(low, high / 1e3)), np.log10(high)
        return float(np.floor(2 * bottom) / 2), float(np.ceil(2 * top) / 2), True
    axis = linear_axis(low, high, 4, slack=0.5)
    return axis.low, axis.high, False


def steadied(before: Limits, now: Limits) -> Limits:
    """Limits of a training that goes on: they grow when they have to, and shrink when by half.

    Without that, values close to a step would turn all colours back and forth.
    """
    if before[2] != now[2]:
        return now
    low, high = min(before[0], now[0]), max(before[1], now[1])
    return now if now[1] - now[0] <= (high - low) / 2 else (low, high, now[2])


@dataclass
class Look:
    """The state of the page. `rows`: the examples in sight, in their order; `place` among them.

    `at`: the observation under the cursor; None follows the newest. `chart`: the first in sight.
    `as_of`: how many observations there were when the rows were sorted.
    """

    model: ChosenModel
    measure: str = ""
    order_name: str = "final loss"
    only_wrong: bool = False
    pattern: str = ""
    rows: Rows = field(default_factory=lambda: np.zeros(0, np.intp))
    place: int = 0
    top: int = 0
    at: int | None = None
    chart: int = 0
    as_of: int = 0
    _limits: dict[str, Limits] = field(default_factory=dict)

    def take(self, model: ChosenModel) -> None:
        """Newer data; the cursor stays on its example, unless it stands on the first place."""
        keep = self.example_id if self.place else None
        stays = self._stays(model)
        kept = self._limits if stays else {}
        self.model, self._limits = model, {}
        for measure, before in kept.items():
            self._limits[measure] = steadied(before, self.limits_of(measure))
        if not stays:
            self.arrange(keep)

    def _stays(self, model: ChosenModel) -> bool:
        """Whether the order may stay as it is: rows that move each second cannot be read.

        While a run goes on they are sorted anew when twice as much has been observed, later when 64
        observations more, then a quarter more: each time the whole map is painted.
        """
        due = self.as_of + min(self.as_of, max(64, self.as_of // 4))
        return (
            model.summary.state == "running"
            and not (self.only_wrong or self.pattern)
            and list(model.grids) == list(self.model.grids)
            and np.array_equal(model.ids, self.model.ids)
            and self.as_of <= len(model.steps) < due
        )

    def arrange(self, keep: int | None = None) -> None:
        """Filter and sort anew; the cursor goes to example `keep` where that is in sight."""
        model = self.model
        self.as_of = len(model.steps)
        names = list(model.grids)
        if names and self.measure not in names:
            self.measure = names[0]
        known = orders_of(model)
        if self.order_name not in known:
            self.order_name = known[0] if known else "id"
        rows = arranged(model, self.order_name)
        if model.table is not None and (self.only_wrong or self.pattern):
            text = self.pattern + (" wrong" if self.only_wrong else "")
            rows = rows[kept(model, text)[rows]]
        self.rows = rows
        found = np.flatnonzero(model.ids[rows] == (-1 if keep is None else keep))
        self.place = int(found[0]) if len(found) else min(self.place, max(0, len(rows) - 1))

    @property
    def row(self) -> int | None:
        """The row of the example under the cursor; None when none is in sight."""
        return int(self.rows[self.place]) if len(self.rows) else None

    @property
    def example_id(self) -> int | None:
        """Its id."""
        return None if self.row is None else int(self.model.ids[self.row])

    @property
    def observation(self) -> int:
        """The observation under the cursor."""
        last = max(0, len(self.model.steps) - 1)
        return last if self.at is None else min(self.at, last)

    @property
    def limits(self) -> Limits:
        """The ends of the colours for the present measure; over all examples, so that they stay."""
        return self.limits_of(self.measure)

    def limits_of(self, measure: str) -> Limits:
        """The same for any measure; computed once for a model."""
        if measure not in self._limits:
            fixed = measure in {"confidence", "correct"}
            grid = self.model.grids[measure]
            self._limits[measure] = (0.0, 1.0, False) if fixed else colour_limits(grid)
        return self._limits[measure]

    def move(self, by: int) -> None:
        """To another example."""
        self.place = min(max(0, self.place + by), max(0, len(self.rows) - 1))

    def go(self, row: int) -> None:
        """To the example in a row of the set, where it is in sight."""
        found = np.flatnonzero(self.rows == row)
        if len(found):
            self.place = int(found[0])

    def step(self, by: int) -> None:
        """To an earlier or later observation; the newest is followed."""
        last = max(0, len(self.model.steps) - 1)
        to = min(max(0, self.observation + by), last)
        self.at = None if to == last else to

    def change(self, by: int) -> bool:
        """To the next (or previous) observation whose output is another; whether there is one."""
        if self.row is None or self.model.changed is None:
            return False
        changed = np.flatnonzero(self.model.changed[self.row])
        here = self.observation
        ahead = changed[changed > here] if by > 0 else changed[changed < here][::-1]
        if not len(ahead):
            return False
        self.step(int(ahead[0]) - here)
        return True

    def next_measure(self) -> None:
        """Loss, confidence, error, correct: those that were recorded."""
        names = list(self.model.grids)
        if names:
            self.measure = names[(names.index(self.measure) + 1) % len(names)]

    def next_order(self) -> None:
        """Another order; the cursor stays on its example."""
        known = orders_of(self.model) or ["id"]
        keep = self.example_id
        at = known.index(self.order_name) if self.order_name in known else -1
        self.order_name = known[(at + 1) % len(known)]
        self.arrange(keep)
