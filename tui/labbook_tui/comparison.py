"""What the comparison shows: immutable answers of the reader thread about two or more runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labbook_tui.curve import Curve

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = [
    "ChangeRow",
    "ChangesModel",
    "Compared",
    "ExampleDelta",
    "Examples",
    "OverlayModel",
    "PatchModel",
    "ResultRow",
    "ResultsModel",
]


@dataclass(frozen=True, eq=False)
class Compared:
    """The runs compared, A first, and in words how they were picked; "" for marked ones."""

    runs: tuple[RunSummary, ...]
    why: str
    seen: object = None
    """What of the runs the answer depends on: while it is equal, nothing is read again."""


@dataclass(frozen=True, eq=False)
class OverlayModel:
    """One series of all runs by id, and the names of all that any of them has."""

    about: Compared
    names: tuple[str, ...]
    name: str
    curves: dict[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class ChangeRow:
    """One thing: `sign` is `+`, `-`, `~`, `heading` or `note`; a value for each run."""

    sign: str
    name: str
    values: tuple[str, ...] = ()
    meaning: str = "text"


@dataclass(frozen=True, eq=False)
class ChangesModel:
    """What changed; `things` are the changes that count, in a word each."""

    about: Compared
    headline: str
    things: tuple[str, ...]
    rows: tuple[ChangeRow, ...]
    n_files: int


@dataclass(frozen=True, eq=False)
class PatchModel:
    """The code of B against that of A, as a unified diff; `problem` says why there is none."""

    about: Compared
    lines: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True)
class ResultRow:
    """One figure in both runs. `stderr` is that of the mean difference over `n` same examples.

    None is "not known" throughout; `lower` says whether less is better.
    """

    part: str
    name: str
    a: float | None
    b: float | None
    difference: float | None
    stderr: float | None
    n: int | None
    is_clear: bool | None
    lower: bool | None
    note: str = ""


@dataclass(frozen=True)
class ExampleDelta:
    """One example, its value in both runs."""

    example: int
    a: float
    b: float


@dataclass(frozen=True)
class Examples:
    """A column over the examples both runs have: those that fell most and those that rose most."""

    name: str
    lower: bool | None
    n_less: int
    n_more: int
    n_same: int
    less: tuple[ExampleDelta, ...]
    more: tuple[ExampleDelta, ...]


@dataclass(frozen=True, eq=False)
class ResultsModel:
    """What came out of A and of B."""

    about: Compared
    rows: tuple[ResultRow, ...]
    examples: tuple[Examples, ...]
    notes: tuple[str, ...]
