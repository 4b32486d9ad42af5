"""The filter of the runs table: `val/loss<0.5 state:running,failed since:7d -tag:debug mixup`.

Spaces mean and, `,` and `|` between values mean or, a leading `-` means not. Bare words are looked
for in name, id, state, tags and arguments.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labbook_tui.text import value_text

if TYPE_CHECKING:
    from labbook.book.summary import RunSummary

__all__ = ["Term", "matches", "parse"]

_TERM = re.compile(r"(?P<key>[\w./\-]+?)(?P<op><=|>=|!=|[:=<>~])(?P<value>.*)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Term:
    """One condition; `key` is empty for a bare word."""

    key: str
    op: str
    values: tuple[str, ...]
    negated: bool = False


def parse(text: str) -> list[Term]:
    """The conditions of a filter; a half-typed one (`lr<`) is left out."""
    terms = []
    for word in text.split():
        negated = word.startswith("-") and len(word) > 1
        body = word[1:] if negated else word
        found = _TERM.fullmatch(body)
        key, op, value = (found["key"], found["op"], found["value"]) if found else ("", ":", body)
        values = tuple(part for part in re.split(r"[,|]", value) if part)
        if values:
            terms.append(Term(key.lower(), op, values, negated))
    return terms


def matches(terms: list[Term], run: RunSummary, now_ns: int) -> bool:
    """Whether a run meets all conditions."""
    return all(_meets(term, run, now_ns) != term.negated for term in terms)


def _meets(term: Term, run: RunSummary, now_ns: int) -> bool:
    if not term.key:
        text = _text_of(run)
        return any(value.lower() in text for value in term.values)
    if term.key in {"since", "age"}:
        if run.created_ns is None:
            return False
        seconds = (now_ns - run.created_ns) / 1e9
        return any(seconds <= limit for limit in map(_seconds, term.values) if limit is not None)
    found = _values(term.key, run)
    if term.op == "!=":
        return bool(found) and not any(_equal(v, w) for v in found for w in term.values)
    op = "=" if term.op == ":" and term.key in {"state", "dirty"} else term.op
    return any(_holds(op, v, w) for v in found for w in term.values)


def _text_of(run: RunSummary) -> str:
    arguments = (f"{name}={value_text(value)}" for name, value in run.arguments.items())
    return " ".join((run.name, run.id, run.state, run.group or "", *run.tags, *arguments)).lower()


def _values(key: str, run: RunSummary) -> list[object]:
    """What a key means for a run: a fact, an argument (by its last word too), a series' last."""
    facts: dict[str, list[object]] = {
        "state": [run.state],
        "name": [run.name],
        "id": [run.id],
        "tag": list(run.tags),
        "group": [run.group or ""],
        "host": [run.host or ""],
        "git": [run.commit or ""],
        "branch": [run.branch or ""],
        "dirty": ["unknown" if run.dirty is None else "yes" if run.dirty else "no"],
    }
    if key in facts:
        return facts[key]
    arguments = [
        value
        for name, value in run.arguments.items()
        if name.lower() == key or name.lower().rsplit(".", 1)[-1] == key
    ]
    series = [stat.last for name, stat in run.stats.items() if name.lower() == key]
    results = [
        value
        for evaluation, metrics in run.results.items()
        for metric, value in metrics.items()
        if key in {metric.lower(), f"{evaluation}/{metric}".lower()}
    ]
    return [*arguments, *series, *results]


def _seconds(text: str) -> float | None:
    found = re.fullmatch(r"([0-9.]+)([smhdw])", text.lower())
    try:
        return float(found[1]) * _UNITS[found[2]] if found else None
    except ValueError:
        return None


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _equal(value: object, wanted: str) -> bool:
    number, other = _number(value), _number(wanted)
    if number is not None and other is not None and not isinstance(value, bool):
        return number == other
    return value_text(value).lower() == wanted.lower()


def _holds(op: str, value: object, wanted: str) -> bool:
    if op in _COMPARE:
        number, limit = _number(value), _number(wanted)
        return number is not None and limit is not None and _COMPARE[op](number, limit)
    if op == "~" or (op == ":" and isinstance(value, str)):
        return wanted.lower() in value_text(value).lower()
    return _equal(value, wanted)
