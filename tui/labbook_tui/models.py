"""What screens show: immutable answers that the reader thread hands to the event loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook_tui.curve import Curve

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from labbook.book.fields import Fields
    from labbook.book.summary import RunSummary
    from labbook.book.watchers import Watcher
    from labbook.compare.gaps import Gap
    from labbook_tui.recorded import Recorded

    Floats = NDArray[np.float64]

__all__ = [
    "CheckpointModel",
    "CheckpointRow",
    "ChosenModel",
    "CodeModel",
    "ConditionsModel",
    "Counts",
    "CurvesModel",
    "Entry",
    "EvaluationsModel",
    "EventRow",
    "EventsModel",
    "Example",
    "Gauge",
    "GaugesModel",
    "Glance",
    "GlancesModel",
    "HostModel",
    "Outcome",
    "OutputModel",
    "Problem",
    "ResultRows",
    "RunsModel",
    "Want",
]


@dataclass(frozen=True)
class Want:
    """What a screen asks the reader thread for: a kind of model, of one run where it is one's."""

    kind: str
    run: str = ""
    detail: tuple[str, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Why there is no model, in words for the screen."""

    text: str


@dataclass(frozen=True, eq=False)
class RunsModel:
    """All runs, newest first; `differing` names arguments whose values are not all the same.

    `fields` are those that filters and orders may name. Thousands of runs come in turns: while not
    `is_whole`, `n_left` are still to be read, of some only their rows are known, and `n_dirty` is
    not. `fold_keys` are those of `folding.fold_key`, with the summary they were made of.
    """

    rows: tuple[RunSummary, ...]
    differing: tuple[str, ...]
    series: tuple[str, ...]
    metrics: tuple[tuple[str, str], ...]
    fields: Fields
    fold_keys: Mapping[str, tuple[RunSummary, str | None]] = field(default_factory=dict)
    n_dirty: int | None = None
    is_whole: bool = True
    n_left: int = 0


@dataclass(frozen=True)
class Glance:
    """What the table shows of a run beyond its summary; None and () where it is not known.

    `spark` is a series in a few means. `lag` is the newest checkpoint's step less the newest
    evaluated one's, `waiting` how many checkpoints are newer than that. `gpu` is per cent, now.
    """

    spark: tuple[float, ...] = ()
    lag: int | None = None
    waiting: int | None = None
    gpu: float | None = None


@dataclass(frozen=True)
class GlancesModel:
    """Glances by run."""

    rows: dict[str, Glance]


@dataclass(frozen=True, eq=False)
class CurvesModel:
    """Curves of one run: those asked for, and the names of all there are.

    `axis` is what their x is; `axes` are all that it can be.
    """

    summary: RunSummary
    names: tuple[str, ...]
    curves: dict[str, Curve] = field(default_factory=dict)
    axis: str = "step"
    axes: tuple[str, ...] = ("step",)


@dataclass(frozen=True, eq=False)
class Example:
    """One example of a chosen set: `image` (rows, columns[, 3]) from 0 to 1 where it is one."""

    id: int
    image: Floats | None = None
    text: str = ""
    vector: Floats | None = None
    target: str = ""
    label: int | None = None


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each class, or bin of values, was predicted at each observation.

    `predicted` (bins, observations), `target` (bins,) or None; `edges` (bins + 1,) are the bins
    of outputs that are real numbers; else None, and `names` are classes.
    """

    names: tuple[str, ...]
    predicted: NDArray[np.int64]
    target: NDArray[np.int64] | None
    edges: Floats | None = None


@dataclass(frozen=True, eq=False)
class ChosenModel:
    """A chosen set over the run. Rows are examples, columns observations, NaN where unknown.

    `grids`: what is known of loss, confidence, correct and error, each (examples, observations).
    `table`: `labbook.dynamics.examples`. `changed`, `learned`, `forgotten`: where an output differs
    from the one before, and the events of `labbook.dynamics`; None where nothing says so.
    `per_step` and `counts` are read only for the pages that show them, `read_for` names the page.
    `notes`: what is missing.
    """

    summary: RunSummary
    sets: tuple[str, ...]
    name: str
    ids: NDArray[np.int64]
    steps: Floats
    examples: Sequence[Example]
    grids: dict[str, Floats] = field(default_factory=dict)
    table: pa.Table | None = None
    recorded: Recorded | None = None
    changed: NDArray[np.bool_] | None = None
    learned: NDArray[np.bool_] | None = None
    forgotten: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()
    per_step: pa.Table | None = None
    counts: Counts | None = None
    read_for: str = ""

    def numbers(self, name: str) -> Floats:
        """A column of `table` as numbers, (examples,); null as NaN."""
        from labbook_tui.read.arrays import floats

        assert self.table is not None
        return floats(self.table.column(name))


@dataclass(frozen=True)
class Outcome:
    """One evaluation of one checkpoint."""

    metrics: dict[str, float]
    stderr: dict[str, float]
    n_examples: int | None
    n_expected: int | None
    subset: str
    coverage: str
    nonfinite: int
    warnings: tuple[str, ...]
    key: str = ""
    code: str = ""
    """"run" or "current": the code it was evaluated with; "" where it is not recorded."""


@dataclass(frozen=True)
class CheckpointRow:
    """A checkpoint and what is known about it; `reason` says why a result is missing.

    `outcomes` are by evaluation; those on the mini set by its name with `*` after it.
    """

    step: int | None
    file: str
    size: int | None
    time_ns: int | None
    outcomes: dict[str, Outcome]
    reason: str
    path: str = ""
    """Where the file is; "" when only its result is left."""


@dataclass(frozen=True, eq=False)
class EvaluationsModel:
    """Checkpoints by step, newest first, and the metrics that any of them has."""

    summary: RunSummary
    rows: tuple[CheckpointRow, ...]
    metrics: tuple[tuple[str, str], ...]
    best: dict[tuple[str, str], int]
    training: tuple[Curve, ...]
    compared: tuple[str, str] | None = None
    """The metric that `gaps` are of."""
    gaps: dict[int, tuple[Gap | None, Gap | None]] = field(default_factory=dict)
    """By row: its metric minus that of the checkpoint before it, and minus the best."""
    remarks: tuple[str, ...] = ()
    watchers: tuple[Watcher, ...] = ()


@dataclass(frozen=True, eq=False)
class ResultRows:
    """The rows of one result by example: `ids` (n,), `columns` of (n,) numbers or texts.

    `correct` (n,) is 1, 0, or NaN where it is not known; None where no column says it.
    """

    step: int | None
    file: str
    ids: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]
    correct: Floats | None
    target: NDArray[Any] | None
    prediction: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class CheckpointModel:
    """One result by example and, to compare it with, another one over the same examples.

    `gaps` are paired differences of metrics, the first minus the other; `examples` the inputs that
    a chosen set over the same data holds, by id; `note` says why there is nothing to compare.
    """

    summary: RunSummary
    rows: ResultRows
    other: ResultRows | None = None
    gaps: dict[str, Gap] = field(default_factory=dict)
    examples: dict[int, Example] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, eq=False)
class Gauge:
    """One gauge over the run: seconds since its start, and values."""

    name: str
    seconds: Floats
    values: Floats


@dataclass(frozen=True, eq=False)
class GaugesModel:
    """Gauges of one run, in the order of the screen; `use` says what they come to, in lines."""

    summary: RunSummary
    gauges: tuple[Gauge, ...]
    use: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class HostModel:
    """This machine: `now` as `labbook top --once --json` prints it, its past by gauge.

    Seconds of `history` are counted back from now; `rates` are steps a second of live runs by id.
    """

    now: dict[str, Any]
    history: dict[str, Gauge]
    rates: dict[str, float | None]


@dataclass(frozen=True)
class Entry:
    """One line of the conditions: heading, or name and value; `meaning` names its colour."""

    name: str
    value: str = ""
    meaning: str = "text"
    heading: bool = False


@dataclass(frozen=True, eq=False)
class ConditionsModel:
    """Everything recorded before the first step, the notes, and the command that started it."""

    summary: RunSummary
    entries: tuple[Entry, ...]
    command: str = ""


@dataclass(frozen=True)
class CodeModel:
    """A run's code since it began.

    `committed` is the commit that has it, `changed` names the files of the working tree that are
    others now than the live run began with; None is "not known", or "in no commit".
    """

    run: str
    committed: str | None
    changed: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class OutputModel:
    """The end of what the program wrote."""

    summary: RunSummary
    lines: tuple[str, ...]
    size: int
    cut: bool
    where: str


@dataclass(frozen=True)
class EventRow:
    """One event."""

    time_ns: int | None
    step: int | None
    kind: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, eq=False)
class EventsModel:
    """Events of one run, newest first, with its faults on top."""

    summary: RunSummary
    rows: tuple[EventRow, ...]
