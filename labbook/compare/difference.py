"""The difference of two runs, whole: what changed between them, and what came out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labbook.compare import changes as counting
from labbook.compare.changes import Change
from labbook.compare.code import CodeDifference, compare_code
from labbook.compare.recorded import Recorded, Section, compare_sections
from labbook.compare.results import Results, chosen_data, compare_results
from labbook.paths import BookPaths

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["Difference", "Side", "code_store", "diff"]


@dataclass(frozen=True)
class Side:
    """One of the runs; `n_attempts` above 1 means that only the newest is compared."""

    id: str
    name: str
    state: str
    created_ns: int | None
    n_attempts: int

    @classmethod
    def of(cls, run: RunReader) -> Side:
        """Name a run."""
        summary = run.summary()
        attempts = {process.attempt for process in run.processes}
        return cls(run.id, run.name, run.state.name, summary.created_ns, len(attempts))


@dataclass(frozen=True)
class Difference:
    """Two runs compared: `a` is where one comes from, `b` where one goes to.

    `changes` are counted as `labbook.compare.changes` defines them; `seed_changes` apart;
    `unknown` names the parts whose comparison is not possible; `generators` those random
    generators whose state at start differed.
    """

    a: Side
    b: Side
    sections: tuple[Section, ...]
    code: CodeDifference
    results: Results
    changes: tuple[Change, ...]
    seed_changes: tuple[Change, ...]
    unknown: tuple[str, ...]
    generators: tuple[str, ...]

    @property
    def headline(self) -> str:
        """One line: "one thing changed: lr 1e-3 → 3e-4"."""
        return counting.headline(
            self.changes,
            self.seed_changes,
            self.unknown,
            self.generators,
            counting.consequences(self.sections, self.changes),
        )

    @property
    def is_warning(self) -> bool:
        """Whether more than one thing changed at once."""
        return len(self.changes) > 1

    def section(self, name: str) -> Section:
        """One section by name; raises `KeyError`."""
        return {section.name: section for section in self.sections}[name]


def diff(a: RunReader, b: RunReader) -> Difference:
    """Compare two runs.

    What cannot be compared is said in the result, never raised: a run without a snapshot, a book
    without the code, a damaged file.
    """
    data_a, data_b = chosen_data(a, b)
    left = Recorded.of(a.facts).with_data(data_a).with_given(a.facts)
    right = Recorded.of(b.facts).with_data(data_b).with_given(b.facts)
    sections = compare_sections(left, right)
    code = compare_code(left, right, code_store(a), code_store(b))
    return Difference(
        a=Side.of(a),
        b=Side.of(b),
        sections=sections,
        code=code,
        results=compare_results(a, b),
        changes=counting.count_changes(sections, code),
        seed_changes=counting.seed_changes(sections),
        unknown=counting.not_known(sections, code),
        generators=counting.started_elsewhere(sections),
    )


def code_store(run: RunReader) -> Path:
    """Where the code of a run's book is."""
    return BookPaths(run.paths.root.parent.parent).code
