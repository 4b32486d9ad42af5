"""A run at a glance: one line of the run table."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from labbook.book.facts import Process, as_int, as_text
from labbook.book.stats import Stat

if TYPE_CHECKING:
    from labbook.book.results import Result
    from labbook.book.runreader import RunReader

__all__ = [
    "GROUPS",
    "RunSummary",
    "flatten",
    "pack",
    "summarise_run",
    "unpack",
    "unreadable_run",
]


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows of one. None is "not known" throughout."""

    id: str
    name: str
    group: str | None
    tags: tuple[str, ...]
    parent: str | None
    state: str
    why: str
    created_ns: int | None
    ended_ns: int | None
    seen_ns: int | None
    """The last sign of life."""
    attempt: int
    host: str | None
    arguments: dict[str, Any]
    """Flattened, nested names joined by dots."""
    commit: str | None
    branch: str | None
    dirty: tuple[str, ...] | None
    """Paths of the dirty files; None without git."""
    stats: dict[str, Stat]
    """By series."""
    results: dict[str, dict[str, float]]
    """Metrics of the newest checkpoint, by evaluation."""
    n_checkpoints: int
    n_results: int
    faults: dict[str, int]

    def __getattr__(self, name: str) -> Any:
        # a summary out of the catalogue decodes what is large when it is first asked for
        stored = self.__dict__.get("_stored")
        if name not in _GROUP:
            raise AttributeError(name)
        if stored is not None:
            columns, row = stored
            group = _GROUP[name]
            self.__dict__.update(unpack(group, columns[group][row].as_py()))
            if _GROUP.keys() <= self.__dict__.keys():
                self.__dict__.pop("_stored", None)  # the last that asks lets the columns go
        if name not in self.__dict__:
            raise AttributeError(name)
        return self.__dict__[name]  # another thread may have decoded it meanwhile

    @classmethod
    def stored(cls, fields: dict[str, Any], columns: Mapping[str, Any], row: int) -> RunSummary:
        """A summary whose fields of `GROUPS` are in row `row` of Arrow columns, one a group."""
        summary = object.__new__(cls)
        for name, value in fields.items():  # one by one: their dicts then share the names
            object.__setattr__(summary, name, value)
        object.__setattr__(summary, "_stored", (columns, row))
        return summary


GROUPS: Final = {
    "arguments": ("arguments",),
    "stats": ("stats",),
    "rest": ("tags", "dirty", "results", "faults"),
}
"""Fields without a fixed size, and which of them are kept and decoded together."""

_GROUP: Final = {name: group for group, names in GROUPS.items() for name in names}


def pack(group: str, summary: RunSummary) -> str:
    """The fields of a group as JSON."""
    fields = {name: getattr(summary, name) for name in GROUPS[group]}
    return json.dumps(fields, ensure_ascii=False)


def unpack(group: str, text: str) -> dict[str, Any]:
    """Read them back."""
    fields: dict[str, Any] = json.loads(text)
    if group == "stats":
        # series have as many points as each other: 10,000 runs keep a number once for each run
        whole: dict[int, int] = {}
        fields["stats"] = {
            sys.intern(name): Stat._make(whole.setdefault(v, v) if type(v) is int else v for v in s)
            for name, s in fields["stats"].items()
        }
    elif group == "arguments":
        # thousands of runs have the same names
        fields["arguments"] = {sys.intern(name): v for name, v in fields["arguments"].items()}
    elif group == "rest":
        fields["tags"] = tuple(fields["tags"])
        fields["dirty"] = None if fields["dirty"] is None else tuple(fields["dirty"])
    return fields


def flatten(values: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested arguments as (name with dots, value); lists and empty objects are values."""
    if isinstance(values, dict) and (values or not prefix):
        for name, value in values.items():
            yield from flatten(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, values


def summarise_run(reader: RunReader) -> RunSummary:
    """Summarise a run as of its last refresh."""
    process = reader.facts.newest()
    conditions = reader.conditions
    git = conditions.get("git")
    git = git if isinstance(git, dict) else {}
    arguments = conditions.get("arguments")
    values = arguments.get("values") if isinstance(arguments, dict) else None
    state = reader.state
    results = reader.results(strict=False)
    return RunSummary(
        id=reader.id,
        name=reader.name,
        group=as_text(reader.identity.get("group")),
        tags=tuple(reader.tags),
        parent=as_text(reader.identity.get("parent")),
        state=state.name,
        why=state.why,
        created_ns=as_int(reader.identity.get("created_ns")),
        ended_ns=state.ended_ns,
        seen_ns=state.seen_ns,
        attempt=process.attempt if process else 0,
        host=as_text(conditions.get("host")),
        arguments=dict(flatten(values if isinstance(values, dict) else {})),
        commit=as_text(git.get("commit")),
        branch=as_text(git.get("branch")),
        dirty=_dirty(git.get("dirty")),
        stats=reader.stats(),
        results=_newest(results),
        n_checkpoints=len(reader.checkpoints()),
        n_results=len(results),
        faults=_faults(process),
    )


def _newest(results: list[Result]) -> dict[str, dict[str, float]]:
    """Metrics of the greatest step by evaluation; of results without a step only failing others."""
    with_step = [result for result in results if result.step is not None]
    without = [result for result in results if result.step is None]
    return {result.evaluation: result.metrics for result in without + with_step}


def unreadable_run(run_id: str, error: Exception) -> RunSummary:
    """Stand in for a run whose files cannot be read: `unknown`, and why."""
    nothing: dict[str, Any] = {}
    return RunSummary(
        id=run_id,
        name=run_id,
        group=None,
        tags=(),
        parent=None,
        state="unknown",
        why=str(error),
        created_ns=None,
        ended_ns=None,
        seen_ns=None,
        attempt=0,
        host=None,
        arguments=nothing,
        commit=None,
        branch=None,
        dirty=None,
        stats={},
        results={},
        n_checkpoints=0,
        n_results=0,
        faults={},
    )


def _dirty(files: object) -> tuple[str, ...] | None:
    if not isinstance(files, list):
        return None
    return tuple(str(f["path"]) for f in files if isinstance(f, dict) and "path" in f)


def _faults(process: Process | None) -> dict[str, int]:
    faults = (process.end or {}).get("faults") if process else None
    if not isinstance(faults, dict):
        return {}
    return {str(kind): n for kind, n in faults.items() if as_int(n) is not None}
