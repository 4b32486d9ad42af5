"""A comparison, a plan and its differences as text: lines without colour, not yet cleaned."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from typing import Any

from labbook.book.runreader import RunReader
from labbook.restore.pairing import Divergence
from labbook.restore.rerunning import Plan
from labbook.restore.surroundings import Difference
from labbook.restore.verify import Comparison, Part

__all__ = [
    "beginnings_lines",
    "comparison_lines",
    "comparison_object",
    "difference_line",
    "divergence_text",
    "named",
    "plan_lines",
]  # fmt: skip

_NAMED = 8
_MANY = 20


def named(paths: list[str]) -> str:
    """`a, b, c and 4 more`."""
    more = len(paths) - _NAMED
    return ", ".join(paths[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def plan_lines(plan: Plan) -> Iterator[str]:
    """What is going to be run, and what of the run it lacks."""
    recorded, snapshot = plan.recorded, plan.recorded.snapshot
    host = recorded.conditions.get("host")
    yield f"rerun of {recorded.run_id} ({recorded.name}), recorded on {host}"
    base = f", commit {snapshot.base[:7]}" if snapshot.base else ""
    dirty = len(snapshot.files_modified) + len(snapshot.files_untracked)
    changed = f" + {dirty} changed" if dirty else ""
    # where it runs is said below: once is enough
    place = "" if plan.command.folder.is_relative_to(plan.copy) else f", in {plan.copy}"
    yield f"  code      {str(snapshot.tree)[:7]}{base}{changed}{place}"
    yield f"  command   {shlex.join(plan.command.shown())}"
    yield f"  in        {plan.command.folder}"
    for word in plan.command.mapped:
        yield f"  mapped    {word.before} → {word.after}"
    book = os.path.realpath(plan.book.root)  # linked in as well, and no news
    links = [path for path in plan.linked.links if os.path.realpath(plan.copy / path) != book]
    if links:
        yield f"  linked    {named(links)}"
    if plan.linked.newer:
        yield f"  not here  {named(plan.linked.newer)}: newer than the run (--link PATH links it)"
    for item in plan.missing[:_MANY]:
        yield f"  missing   {item.path}: {item.why}"
    for note in plan.notes:
        yield f"  note      {note}"


def difference_line(difference: Difference) -> str:
    """`package numpy: 1.26.4 then, 2.0.1 now`."""
    kind = "" if difference.kind == difference.name else f"{difference.kind} "
    return f"{kind}{difference.name}: {_value(difference.then)} then, {_value(difference.now)} now"


def comparison_lines(found: Comparison) -> Iterator[str]:
    """The verdict first; then the first divergence, and every part that is not equal."""
    counted = [part for part in found.parts if part.is_counted]
    n_series = sum(part.kind == "series" for part in counted)
    n_chosen = len(counted) - n_series
    what = f"{n_series} series" + (f" and {n_chosen} chosen-set columns" if n_chosen else "")
    verdict = found.verdict
    if verdict == "incomparable":
        yield "cannot be compared: the runs logged no series and no chosen set"
    elif verdict == "bitwise":
        yield f"bitwise equal: {what}, {found.n_rows} rows"
    elif verdict == "within":
        tolerance = f"rtol {found.tolerance.rtol:g}, atol {found.tolerance.atol:g}"
        yield f"equal within {tolerance}: {what}, {found.n_rows} rows"
    elif found.first is not None:
        yield f"different: first {divergence_text(found.first)}"
    for part in found.parts:
        if part.pairing.verdict != "bitwise":
            yield f"  {_part_text(part)}"


def divergence_text(divergence: Divergence, *, with_name: bool = True) -> str:
    """`at step 12 in loss: 0.5 → 0.6, a difference of 0.1 (relative 0.2)`."""
    at = "without a step" if divergence.step is None else f"at step {divergence.step}"
    example = "" if divergence.example is None else f", example {divergence.example}"
    name = f" in {divergence.name}" if with_name else ""
    where = f"{at}{name}{example}"
    if divergence.why == "only in a":
        return f"{where}: only the first run has it"
    if divergence.why == "only in b":
        return f"{where}: only the second run has it"
    text = f"{where}: {_value(divergence.a)} → {_value(divergence.b)}"
    if divergence.why == "type":
        return f"{text} (another type)"
    return text + _size(divergence.absolute, divergence.relative)


def beginnings_lines(first: RunReader, second: RunReader) -> Iterator[str]:
    """What may explain a difference: other ends, other states of the generators at the start."""
    if first.state.name != second.state.name:
        yield f"{first.id} {first.state.name}, {second.id} {second.state.name}"
    then, now = first.conditions.get("seeds"), second.conditions.get("seeds")
    if isinstance(then, dict) and isinstance(now, dict):
        other = [name for name in sorted(then.keys() & now.keys()) if then[name] != now[name]]
        if other:
            yield f"random generators in another state at the start: {', '.join(other)}"


def comparison_object(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON data."""
    return {
        "a": found.a,
        "b": found.b,
        "verdict": found.verdict,
        "rtol": found.tolerance.rtol,
        "atol": found.tolerance.atol,
        "rows": found.n_rows,
        "first": _divergence_object(found.first),
        "parts": [
            {
                "kind": part.kind,
                "name": part.name,
                "counted": part.is_counted,
                "why_not_counted": part.why_not_counted,
                "verdict": part.pairing.verdict,
                "rows": part.pairing.n_compared,
                "unequal": part.pairing.n_unequal,
                "largest": part.pairing.largest,
                "largest_relative": part.pairing.relative,
                "first": _divergence_object(part.pairing.first),
            }
            for part in found.parts
        ],
    }


def _divergence_object(divergence: Divergence | None) -> dict[str, Any] | None:
    if divergence is None:
        return None
    return {
        "name": divergence.name,
        "why": divergence.why,
        "step": divergence.step,
        "example": divergence.example,
        "a": _plain(divergence.a),
        "b": _plain(divergence.b),
        "absolute": divergence.absolute,
        "relative": divergence.relative,
    }


def _part_text(part: Part) -> str:
    pairing, first = part.pairing, part.pairing.first
    lead = (
        f"not counted, {part.why_not_counted}: {part.name}" if part.why_not_counted else part.name
    )
    if first is not None and first.why != "value" and not pairing.n_unequal:
        return f"{lead}: {divergence_text(first, with_name=False)}"
    since = f" from step {first.step} on" if first is not None and first.step is not None else ""
    return (
        f"{lead}: {pairing.n_unequal} of {pairing.n_compared} rows differ{since}, by "
        f"{pairing.largest:.3g} at most (relative {pairing.relative:.3g})"
    )


def _size(absolute: float | None, relative: float | None) -> str:
    if absolute is None:
        return ""
    share = "" if relative is None else f" (relative {relative:.3g})"
    return f", a difference of {absolute:.3g}{share}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)[:200]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)
