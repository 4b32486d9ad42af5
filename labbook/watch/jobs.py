"""Pieces of work, and what one look at the book found of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labbook.paths import RunPaths
from labbook.watch.codes import CURRENT, Code
from labbook.watch.complete import Whole
from labbook.watch.discover import Found
from labbook.watch.evaluation import Declaration
from labbook.watch.facts import RunFacts
from labbook.watch.policy import Ranked
from labbook.watch.reasons import Reason

__all__ = ["Ask", "Job", "Left", "State", "describe", "lane_of"]


@dataclass(frozen=True, slots=True)
class Job:
    """One result to be made. `ranked` places it in the order of work; `code` is what it runs in,
    null where one code is for all; `digest` is what its key holds of that code."""

    key: str
    facts: RunFacts
    paths: RunPaths
    found: Found
    whole: Whole
    declared: Declaration
    ranked: Ranked
    code: Code | None = None
    digest: str | None = None

    @property
    def subset(self) -> str:
        """`full` or `mini`."""
        return self.ranked.subset

    @property
    def lane(self) -> str:
        """The evaluation as people read it."""
        return lane_of(self.declared.name, self.subset)

    @property
    def result(self) -> Path:
        """Where the result goes."""
        return self.paths.result(self.declared.name, self.key)

    def checkpoint(self) -> dict[str, Any]:
        """The checkpoint as results and reasons name it."""
        return describe(self.found, self.whole)

    def reason(self, text: str, state: str, attempts: int = 0, trace: str | None = None) -> Reason:
        """A reason about this work."""
        name = self.declared.name
        used = self.code or CURRENT
        code = {"mode": used.mode, "tree": used.tree, "digest": self.digest}
        return Reason(self.checkpoint(), name, text, state, self.subset, attempts, trace, code)


@dataclass(frozen=True)
class Ask:
    """A code of which nothing is known yet: a worker has to import it. `ranked` as in `Job`."""

    code: Code
    ranked: Ranked


@dataclass(frozen=True)
class Left:
    """Why a checkpoint, or one evaluation of it, is not worked on."""

    run: str
    file: str
    lane: str
    text: str


@dataclass
class State:
    """What one look at the book found."""

    pending: list[Job] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    failed: set[tuple[str, str]] = field(default_factory=set)
    """(run, key) of what is damaged or was given up."""
    done: dict[str, set[int]] = field(default_factory=dict)
    """Positions with a result, by run."""
    left: list[Left] = field(default_factory=list)
    """What is not worked on; filled for `--dry-run` alone."""

    @property
    def is_over(self) -> bool:
        """True when there is nothing to do, and nothing to wait for."""
        return not (self.pending or self.asks or self.waiting)

    def add(self, part: State) -> None:
        """Take in what was found in one run."""
        self.pending += part.pending
        self.asks += part.asks
        self.waiting += part.waiting
        self.failed |= part.failed
        self.done.update(part.done)
        self.left += part.left

    def close(self, job: Job) -> None:
        """`job` has its result."""
        self.drop(job)
        self.done.setdefault(job.facts.id, set()).add(job.ranked.position)

    def drop(self, job: Job) -> None:
        """`job` is not pending any more."""
        same = (job.facts.id, job.key)  # a later look made another object of it
        self.pending = [other for other in self.pending if (other.facts.id, other.key) != same]


def describe(found: Found, whole: Whole | None) -> dict[str, Any]:
    """A checkpoint as results and reasons name it."""
    return {
        "file": found.file,
        "digest": whole.digest if whole else None,
        "step": found.step,
        "size": whole.identity.size if whole else found.size,
        "external": found.external,
        "kind": whole.kind if whole else None,
        "completeness": whole.completeness if whole else None,
    }


def lane_of(evaluation: str, subset: str) -> str:
    """An evaluation, and whether on the mini set, as people read it."""
    return evaluation + (" (mini)" if subset == "mini" else "")
