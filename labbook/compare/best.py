"""The best checkpoint of a run by a metric, and whether it is better than the next by more than
noise.

A query over the results, made anew each time: nothing remembers a best. Only what can be compared
is ranked together: results of one evaluation, on the full set or on the mini set and never both,
over data with one fingerprint; of several results of one checkpoint (by other code) the newest.
What is left out is said.

Ties: of equal values the earliest step is the best, which is said. A metric that is not finite is
never the best and ranks last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.compare.gaps import Gap, gap_between
from labbook.direction import Mode, direction, mode_of
from labbook.errors import MisuseError, StoreError

if TYPE_CHECKING:
    from labbook.book.results import Result
    from labbook.book.runreader import RunReader

__all__ = [
    "Best",
    "Ranking",
    "Standing",
    "best",
    "last_against_best",
    "ranking",
]


@dataclass(frozen=True)
class Ranking:
    """Comparable results of one evaluation by one metric, best first, not finite ones last."""

    evaluation: str
    metric: str
    mode: Mode
    subset: str
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()

    def value(self, result: Result) -> float:
        """The metric; NaN where it is not finite."""
        return result.metrics.get(self.metric, math.nan)

    @property
    def best(self) -> Result | None:
        """The first, where it is finite."""
        first = self.results[0] if self.results else None
        return first if first is not None and math.isfinite(self.value(first)) else None


@dataclass(frozen=True)
class Standing:
    """Where the newest result stands: its metric minus the best of those before it, paired."""

    ranking: Ranking
    newest: Result
    before: Result | None
    gap: Gap | None


@dataclass(frozen=True)
class Best:
    """A ranking, with the paired difference of each of the next few against the best.

    `gaps` goes with `ranking.results[1:]`, as far as it was asked for; None where there are no rows
    to pair: `why` says why.
    """

    ranking: Ranking
    gaps: tuple[Gap | None, ...]
    why: str | None

    @property
    def within_noise(self) -> tuple[Result, ...]:
        """Those of the next few whose difference to the best is no more than noise."""
        pairs = zip(self.ranking.results[1:], self.gaps, strict=False)
        return tuple(result for result, gap in pairs if gap is not None and gap.is_noise)


def best(
    run: RunReader,
    metric: str,
    *,
    evaluation: str | None = None,
    mode: str = "auto",
    subset: str | None = None,
    top: int = 5,
) -> Best:
    """Rank a run's checkpoints by a metric and pair the first `top` with the best.

    `metric` may be `evaluation.metric`. `subset` None: the full set, or the mini set where nothing
    was evaluated in full. Raises `MisuseError` for a metric that no result has, or several
    evaluations have, and `StoreError` where there are no results at all.
    """
    ranked = ranking(
        run.results(strict=False), metric, evaluation=evaluation, mode=mode, subset=subset
    )
    if ranked.best is None:
        return Best(ranked, (), "no result is finite")
    gaps: list[Gap | None] = []
    why = None
    for other in ranked.results[1:top]:
        gap, why_not = gap_between(other, ranked.best, ranked.metric)
        gaps.append(gap)
        why = why or why_not
    return Best(ranked, tuple(gaps), why)


def ranking(
    results: Sequence[Result],
    metric: str,
    *,
    evaluation: str | None = None,
    mode: str = "auto",
    subset: str | None = None,
) -> Ranking:
    """Rank without reading any rows; see `best`."""
    name, metric = _which(results, metric, evaluation)
    chosen_mode = mode_of(metric, mode)
    held = [r for r in results if r.evaluation == name and metric in r.metrics]
    at = subset or ("full" if any(r.subset == "full" for r in held) else "mini")
    found = [r for r in held if r.subset == at]
    if not found:
        there = ", ".join(sorted({r.subset for r in held}))
        raise MisuseError(f"{name} has no results on the {at} set; it has {there}")
    found, notes = _comparable(found)
    if at == "mini" and subset is None:
        notes.insert(0, "on the mini set: nothing was evaluated in full")
    return Ranking(
        name, metric, chosen_mode, at, _ordered(found, metric, chosen_mode), tuple(notes)
    )


def last_against_best(results: Sequence[Result]) -> list[Standing]:
    """Where the newest result stands, for each metric whose name says what is better."""
    found = []
    for name in sorted({result.evaluation for result in results}):
        of_one = [result for result in results if result.evaluation == name]
        for metric in dict.fromkeys(m for result in of_one for m in result.metrics):
            if direction(metric) is None:
                continue
            ranked = ranking(of_one, metric, evaluation=name)
            steps = [result for result in ranked.results if result.step is not None]
            if not steps or ranked.best is None:
                continue
            last = max(steps, key=lambda result: result.step or 0)
            before = next((r for r in ranked.results if r is not last), None)
            gap = None
            if before is not None and math.isfinite(ranked.value(before)):
                gap = gap_between(last, before, metric)[0]
            found.append(Standing(ranked, last, before if gap else None, gap))
    return found


# ---------------------------------------------------------------------- which results


def _which(results: Sequence[Result], metric: str, evaluation: str | None) -> tuple[str, str]:
    """The evaluation that is meant, and the metric's own name."""
    if not results:
        raise StoreError("no checkpoint of this run has a result yet; `labbook watch` makes them")
    names = {result.evaluation for result in results}
    if evaluation is not None and evaluation not in names:
        raise MisuseError(f"no evaluation {evaluation!r}; there are {', '.join(sorted(names))}")
    having = {r.evaluation for r in results if metric in r.metrics}
    head, _, rest = metric.partition(".")
    if not having and evaluation in {None, head} and head in names:
        evaluation, metric = head, rest
        having = {r.evaluation for r in results if metric in r.metrics}
    if evaluation is not None:
        having &= {evaluation}
    if not having:
        known = {f"{r.evaluation}.{m}" for r in results for m in r.metrics}
        raise MisuseError(
            f"no result has a metric {metric!r}; there are {', '.join(sorted(known))}"
        )
    if len(having) > 1:
        raise MisuseError(
            f"several evaluations have {metric!r}: {', '.join(sorted(having))}; say which, as in "
            f"{min(having)}.{metric}"
        )
    return having.pop(), metric


def _comparable(results: list[Result]) -> tuple[list[Result], list[str]]:
    """Results over the data of the newest, one a checkpoint; and what was left out."""
    notes: list[str] = []
    data = max(results, key=_ended).meta.get("data_digest")
    same = [result for result in results if result.meta.get("data_digest") == data]
    if len(same) < len(results):
        notes.append(f"{len(results) - len(same)} results over other data are left out")
    newest: dict[Any, Result] = {}
    for result in sorted(same, key=_ended):
        newest[result.checkpoint.get("digest") or result.key] = result
    if len(newest) < len(same):
        notes.append(
            f"{len(same) - len(newest)} older results of the same checkpoints are left out"
        )
    if len({_code(result) for result in newest.values()}) > 1:
        notes.append("the evaluation's code is not the same in all of them")
    n_unsure = sum(result.coverage == "unverified" for result in newest.values())
    if n_unsure:
        notes.append(f"{n_unsure} of them do not say whether each example was there")
    return list(newest.values()), notes


def _ordered(results: list[Result], metric: str, mode: Mode) -> tuple[Result, ...]:
    def place(result: Result) -> tuple[bool, float, bool, int, int]:
        value = result.metrics[metric]
        if not math.isfinite(value):
            return True, 0.0, result.step is None, result.step or 0, _ended(result)
        signed = value if mode == "min" else -value
        return False, signed, result.step is None, result.step or 0, _ended(result)

    return tuple(sorted(results, key=place))


def _ended(result: Result) -> int:
    ended = result.meta.get("ended_ns")
    return ended if isinstance(ended, int) else 0


def _code(result: Result) -> Any:
    code = result.meta.get("code")
    return str(code.get("digest")) if isinstance(code, dict) else None
