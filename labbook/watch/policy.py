"""What is evaluated next, on how much of the data, and how often a failure is tried again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from labbook.errors import MisuseError
from labbook.watch.evaluation import Declaration
from labbook.watch.identity import canonical

__all__ = ["LEFT_OUT", "Ranked", "Retries", "lanes", "next_of", "result_key", "selected"]


LEFT_OUT = "left out by the policy"
"""How the reason of a checkpoint begins that the policy passed over."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A piece of pending work as far as its order goes. `position` counts the run's checkpoints."""

    run: str
    position: int
    subset: str
    time_ns: int
    evaluation: str = ""


def result_key(
    digest: str, evaluation: str, code: str, arguments: str, settings: Mapping[str, object]
) -> str:
    """The name of a result; everything in it is known before any work."""
    whole = canonical([digest, evaluation, code, arguments, dict(settings)])
    return hashlib.sha256(whole).hexdigest()[:32]


def selected(policy: str, position: int, is_last: bool) -> str | None:
    """Why the checkpoint at `position` is left out; None when it is not.

    `newest` and `all` leave none out; `every=n` takes each n-th, and the last.
    """
    if policy in {"newest", "all"}:
        return None
    name, _, number = policy.partition("=")
    if name != "every" or not number.isdigit() or int(number) < 1:
        raise MisuseError(f"policy must be newest, all or every=N, got {policy!r}")
    if (position + 1) % int(number) == 0 or is_last:
        return None
    return f"{LEFT_OUT} {policy}"


def lanes(declared: Declaration, position: int, is_last: bool) -> list[str]:
    """The subsets a checkpoint is evaluated on, by its position in its run.

    `is_last` is true for the last checkpoint of a run that is over.
    """
    if declared.mini is None:
        return ["full"]
    if is_last or (position + 1) % declared.full_every == 0:
        return ["mini", "full"]
    return ["mini"]


def next_of(pending: Sequence[Ranked], done: Mapping[str, Iterable[int]], policy: str) -> Ranked:
    """The work to do next; `done` has the positions with a result, by run.

    The newest checkpoint first, wherever it is; a run whose newest is done is filled in where the
    gap is largest, so that its curve gets finer evenly. `all` goes through oldest first. What is
    small (mini) comes before what is large.
    """
    small = [work for work in pending if work.subset == "mini"] or list(pending)
    if policy == "all":
        return min(small, key=lambda work: (work.time_ns, work.position))
    newest = max(small, key=lambda work: (work.time_ns, work.position))
    finished = sorted(done.get(newest.run, ()))
    if not finished or newest.position > finished[-1]:
        return newest
    same_run = [work for work in small if work.run == newest.run]
    return max(same_run, key=lambda work: (_gap(work.position, finished), work.position))


def _gap(position: int, finished: list[int]) -> int:
    return min(abs(position - other) for other in finished)


_DELAYS_S: dict[str, tuple[float, ...]] = {
    "load": (1.0, 5.0, 25.0),  # a file server that stutters
    "crash": (0.0,),  # once more, in a fresh worker
    "timeout": (0.0,),
    "cuda": (0.0,),
    "storage": (1.0, 5.0, 25.0),  # rows that could not be written
}


@dataclass
class Retries:
    """Failures so far, by key. What is not in the table above is never tried again."""

    _failures: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, float] = field(default_factory=dict)

    def failed(self, key: str, kind: str, now: float) -> bool:
        """Count a failure; True when it will be tried again, not before its delay is over."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        delays = _DELAYS_S.get(kind, ())
        if count > len(delays):
            return False
        self._not_before[key] = now + delays[count - 1]
        return True

    def attempts(self, key: str) -> int:
        """How often it failed."""
        return self._failures.get(key, 0)

    def delay_s(self, key: str, now: float) -> float:
        """Seconds until it may be tried, 0 when it may be now."""
        return max(0.0, self._not_before.get(key, 0.0) - now)
