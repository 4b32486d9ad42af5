"""The fields of a run, by the names that filters, orders and columns use.

A name is looked up in this order: a fixed field (`state`), `args.KEY`, `last.SERIES` and the like,
an evaluation's metric (`validation.accuracy`), an argument's key or the last part of it (`lr` for
`optimizer.lr`), a series (its last value), the last part of a metric's name (`accuracy`). A name
that none has is looked up once more without regard to case. `validation/accuracy` is the same as
`validation.accuracy`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from labbook.errors import MisuseError

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["Field", "Fields", "searched_text", "seconds_taken"]


@dataclass(frozen=True)
class Field:
    """One field: `get` returns a run's value, None where the run has none.

    `order` is what runs are sorted by where the value itself does not say.
    """

    name: str
    get: Callable[[RunSummary], Any]
    is_seconds: bool = False
    order: Callable[[RunSummary], Any] | None = None


def seconds_taken(run: RunSummary) -> float | None:
    """Seconds from start to end; to the last sign of life of a run whose end is not known."""
    until = run.ended_ns
    if until is None:
        until = time.time_ns() if run.state == "running" else run.seen_ns
    return _seconds_between(run.created_ns, until)


def searched_text(run: RunSummary) -> str:
    """What a word in a filter is looked for in, in lower case, one thing a line."""
    arguments = (f"{name}={value}" for name, value in run.arguments.items())
    named = (run.name, run.id, run.state, run.group or "", *run.tags)
    return "\n".join((*named, *arguments)).lower()


def _local_time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9).isoformat(" ", "seconds")


def _seconds_between(start_ns: int | None, end_ns: int | None) -> float | None:
    if start_ns is None or end_ns is None:
        return None
    return max(0, end_ns - start_ns) / 1e9


_FIXED = [
    Field("id", lambda run: run.id),
    Field("name", lambda run: run.name),
    Field("state", lambda run: run.state),
    Field("why", lambda run: run.why),
    Field("group", lambda run: run.group),
    Field("tags", lambda run: run.tags),
    Field("tag", lambda run: run.tags),
    Field("parent", lambda run: run.parent),
    Field("host", lambda run: run.host),
    Field("attempt", lambda run: run.attempt),
    Field("commit", lambda run: run.commit),
    Field("git", lambda run: run.commit),
    Field("branch", lambda run: run.branch),
    Field("dirty", lambda run: None if run.dirty is None else bool(run.dirty)),
    Field(
        "created",
        lambda run: None if run.created_ns is None else _local_time(run.created_ns),
        order=lambda run: run.created_ns,
    ),
    Field("age", lambda run: _seconds_between(run.created_ns, time.time_ns()), is_seconds=True),
    Field("duration", seconds_taken, is_seconds=True),
    Field("checkpoints", lambda run: run.n_checkpoints),
    Field("results", lambda run: run.n_results),
    Field("faults", lambda run: sum(run.faults.values())),
]
_STATS = ("last", "min", "max", "count")


class Fields:
    """The fields that a set of runs has; the runs are asked for them when a name needs it.

    To know all fields of thousands of runs takes longer than a filter over what every run has.
    """

    def __init__(self, runs: Iterable[RunSummary]) -> None:
        self._runs: Iterable[RunSummary] = runs
        self._known = {field.name: field for field in _FIXED}
        self._arguments: dict[str, Field] = {}
        self._series: dict[str, dict[str, Field]] = {}
        self._metrics: dict[str, Field] = {}
        self._texts: Mapping[str, tuple[RunSummary, str]] = {}

    @classmethod
    def named(
        cls,
        arguments: Iterable[str],
        series: Iterable[str],
        metrics: Iterable[tuple[str, str]],
        texts: Mapping[str, tuple[RunSummary, str]] | None = None,
    ) -> Fields:
        """Fields of runs of which it is known already what they have; metrics with evaluation.

        `texts` are those of `searched_text`, by run and with the summary they were made of.
        """
        fields = cls(())
        fields._texts = texts or {}
        for key in arguments:
            fields._arguments[key] = _argument_field(key)
        for name in series:
            fields._series[name] = {stat: _stat_field(name, stat) for stat in _STATS}
        for evaluation, metric in metrics:
            fields._metrics[f"{evaluation}.{metric}"] = _metric_field(evaluation, metric)
        return fields

    @property
    def arguments(self) -> dict[str, Field]:
        """By name."""
        self._learn()
        return self._arguments

    @property
    def series(self) -> dict[str, dict[str, Field]]:
        """By series and statistic."""
        self._learn()
        return self._series

    @property
    def metrics(self) -> dict[str, Field]:
        """By `evaluation.metric`."""
        self._learn()
        return self._metrics

    def _learn(self) -> None:
        runs, self._runs = self._runs, ()
        for run in runs:
            for key in run.arguments:
                if key not in self._arguments:
                    self._arguments[key] = _argument_field(key)
            for name in run.stats:
                if name not in self._series:
                    self._series[name] = {stat: _stat_field(name, stat) for stat in _STATS}
            for evaluation, metrics in run.results.items():
                for metric in metrics:
                    self._metrics.setdefault(
                        f"{evaluation}.{metric}", _metric_field(evaluation, metric)
                    )

    def text_of(self, run: RunSummary) -> str:
        """`searched_text`, made once where it is kept."""
        kept = self._texts.get(run.id)
        return kept[1] if kept is not None and kept[0] is run else searched_text(run)

    def is_of_all(self, name: str) -> bool:
        """Whether every run has it: a fact, no argument, series or metric."""
        return name in self._known

    def __contains__(self, name: str) -> bool:
        try:
            return self._find(name) is not None
        except MisuseError:
            return True  # it may be one of several

    def __getitem__(self, name: str) -> Field:
        """Find a field; raises `MisuseError`, with what was probably meant, when no run has it."""
        found = self._find(name)
        if found is None:
            close = get_close_matches(name, self._all_names(), n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise MisuseError(f"no run here has a field {name!r}{hint}")
        return found

    def _find(self, name: str) -> Field | None:
        found = self._exactly(name)
        if found is None:
            folded = name.lower()
            alike = [known for known in self._all_names() if known.lower() == folded]
            found = self._exactly(alike[0]) if alike else None
        return found

    def _exactly(self, name: str) -> Field | None:
        found = self._known.get(name) or self._prefixed(name) or self.metrics.get(name)
        found = found or self.arguments.get(name) or _by_last_part(name, self.arguments)
        if found is None and name in self.series:
            found = self.series[name]["last"]
        found = found or _by_last_part(name, self.metrics)
        if found is None and "/" in name:
            found = self.metrics.get(".".join(name.rsplit("/", 1)))
        return found

    def _prefixed(self, name: str) -> Field | None:
        prefix, _, rest = name.partition(".")
        if prefix == "args":
            return self.arguments.get(rest)
        return self.series.get(rest, {}).get(prefix)

    @property
    def names(self) -> list[str]:
        """Every name of one field: facts, arguments and their last parts, series, metrics."""
        counts = Counter(key.rpartition(".")[2] for key in self.arguments)
        several = {name for name, count in counts.items() if count > 1}
        mine = {*self._known, *self.arguments, *self.series}
        return [name for name in self._all_names() if name in mine or name not in several]

    def _all_names(self) -> list[str]:
        parts = [key.rpartition(".")[2] for key in self.arguments]
        names = [*self._known, *self.arguments, *parts, *self.series, *self.metrics]
        return list(dict.fromkeys(names))


def _by_last_part(name: str, fields: dict[str, Field]) -> Field | None:
    keys = [key for key in fields if key.rpartition(".")[2] == name]
    if len(keys) > 1:
        raise MisuseError(f"{name!r} may be any of {', '.join(sorted(keys))}: write it in full")
    return fields[keys[0]] if keys else None


def _argument_field(key: str) -> Field:
    return Field(key, lambda run: run.arguments.get(key))


def _stat_field(name: str, stat: str) -> Field:
    def get(run: RunSummary) -> Any:
        found = run.stats.get(name)
        return None if found is None else getattr(found, stat)

    return Field(f"{stat}.{name}", get)


def _metric_field(evaluation: str, metric: str) -> Field:
    return Field(f"{evaluation}.{metric}", lambda run: run.results.get(evaluation, {}).get(metric))
