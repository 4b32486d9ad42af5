"""Whether a run's results can be compared with one another, and were made as the run was.

The key of a result is known before any work; what was imported and read in truth is recorded with
it. What differs among the results of one evaluation is said here, never hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from labbook.book.results import Result

__all__ = ["remarks"]

_NAMED = 4


def remarks(results: Iterable[Result]) -> list[str]:
    """Lines about results of different code, data or environments; none when all agree."""
    found = list(results)
    names = dict.fromkeys(result.evaluation for result in found)
    return [
        line
        for name in names
        for line in _about(name, [result for result in found if result.evaluation == name])
    ]


def _about(name: str, results: list[Result]) -> Iterator[str]:
    codes = [_part(result, "code") for result in results]
    n_current = sum(code.get("mode") == "current" for code in codes)
    if 0 < n_current < len(results):
        counted = f"{n_current} of {len(results)} results"
        yield f"{name}: {counted} are of the current code, the others of the run's own"
    reasons = dict.fromkeys(str(code["why"]) for code in codes if code.get("why"))
    for why in reasons:
        yield f"{name}: {why}: evaluated with the current code"
    keys: dict[Any, set[Any]] = {}
    for code in codes:
        keys.setdefault((code.get("mode"), code.get("key_digest")), set()).add(code.get("imported"))
    yield from _codes(name, codes)
    if any(len(imported) > 1 for imported in keys.values()):
        yield f"{name}: other code was imported for some results than for others: not comparable"
    data = {result.meta.get("data_digest") for result in results} - {None}
    if len(data) > 1:
        yield f"{name}: of {len(data)} different data sets: not comparable"
    outside = sorted({str(each) for code in codes for each in _items(code.get("outside"))})
    if outside:
        yield f"{name}: not part of the run's code: {_some(outside)}"
    lacking = {
        str(each.get("path"))
        for code in codes
        for each in _items(code.get("missing"))
        if isinstance(each, dict)
    }
    if lacking:
        yield f"{name}: not there when it was evaluated: {_some(sorted(lacking))}"
    differs = dict.fromkeys(line for result in results for line in _environment(result))
    if differs:
        yield f"{name}: evaluated in another environment: {_some(list(differs))}"


def _codes(name: str, codes: list[dict[str, Any]]) -> Iterator[str]:
    """Whether watchers that had other files made some of them, and which files those are."""
    for mode in ("current", "run"):
        files = {}
        for code in codes:
            if code.get("mode") == mode:
                found = code.get("files")
                files[code.get("key_digest")] = found if isinstance(found, dict) else {}
        if len(files) < 2:
            continue
        every = {path for found in files.values() for path in found}
        other = [
            str(path)
            for path in every
            if len({str(found.get(path)) for found in files.values()}) > 1
        ]
        where = f", which differ in {_some(sorted(other))}" if other else ""
        yield f"{name}: made with {len(files)} codes{where}: not comparable"


def _environment(result: Result) -> Iterator[str]:
    for each in _items(_part(result, "environment").get("differs")):
        if isinstance(each, dict):
            yield f"{each.get('name')} {each.get('then')} then, {each.get('now')} now"


def _part(result: Result, name: str) -> dict[str, Any]:
    part = result.meta.get(name)
    return part if isinstance(part, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _some(words: list[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more
