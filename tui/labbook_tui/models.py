"""What screens show: immutable answers that the reader thread hands to the event loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook_tui.curve import Curve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from labbook.book.fields import Fields
    from labbook.book.summary import RunSummary

    Floats = NDArray[np.float64]

__all__ = [
    "CheckpointRow",
    "ChosenModel",
    "ConditionsModel",
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
    "Outcome",
    "OutputModel",
    "Problem",
    "Reading",
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


@dataclass(frozen=True)
class Reading:
    """A model is on its way and may take long: what is being read."""

    text: str


@dataclass(frozen=True, eq=False)
class RunsModel:
    """All runs, newest first; `differing` names arguments whose values are not all the same.

    `fields` are those that filters and orders may name. Of thousands of runs only the newest were
    looked at for all but `rows` while not `is_whole`; `n_dirty` is not known then. `fold_keys` are
    those of `folding.fold_key`, with the summary they were made of.
    """

    rows: tuple[RunSummary, ...]
    differing: tuple[str, ...]
    series: tuple[str, ...]
    metrics: tuple[tuple[str, str], ...]
    fields: Fields
    fold_keys: Mapping[str, tuple[RunSummary, str | None]] = field(default_factory=dict)
    n_dirty: int | None = None
    is_whole: bool = True


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
    """Curves of one run: those asked for, and the names of all there are."""

    summary: RunSummary
    names: tuple[str, ...]
    curves: dict[str, Curve] = field(default_factory=dict)


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
class ChosenModel:
    """A chosen set over the run: `loss` (examples, observations), `outputs` (…, …, D) or None."""

    summary: RunSummary
    sets: tuple[str, ...]
    name: str
    steps: Floats
    examples: tuple[Example, ...]
    loss: Floats
    outputs: NDArray[np.float32] | None


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


@dataclass(frozen=True)
class CheckpointRow:
    """A checkpoint and what is known about it; `reason` says why a result is missing."""

    step: int | None
    file: str
    size: int | None
    time_ns: int | None
    outcomes: dict[str, Outcome]
    reason: str


@dataclass(frozen=True, eq=False)
class EvaluationsModel:
    """Checkpoints by step, newest first, and the metrics that any of them has."""

    summary: RunSummary
    rows: tuple[CheckpointRow, ...]
    metrics: tuple[tuple[str, str], ...]
    best: dict[tuple[str, str], int]
    training: tuple[Curve, ...]


@dataclass(frozen=True, eq=False)
class Gauge:
    """One gauge over the run: seconds since its start, and values."""

    name: str
    seconds: Floats
    values: Floats


@dataclass(frozen=True, eq=False)
class GaugesModel:
    """Gauges of one run, in the order of the screen."""

    summary: RunSummary
    gauges: tuple[Gauge, ...]


@dataclass(frozen=True)
class Entry:
    """One line of the conditions: heading, or name and value; `meaning` names its colour."""

    name: str
    value: str = ""
    meaning: str = "text"
    heading: bool = False


@dataclass(frozen=True, eq=False)
class ConditionsModel:
    """Everything recorded before the first step."""

    summary: RunSummary
    entries: tuple[Entry, ...]


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
