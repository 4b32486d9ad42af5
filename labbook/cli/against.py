"""The same examples in two runs, as text and as an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.cli.cards import Gallery, Row
from labbook.cli.learned import titled
from labbook.cli.tables import has_colour
from labbook.cli.wording import number_text

if TYPE_CHECKING:
    from labbook.compare import Interval
    from labbook.dynamics import Between, Observed

__all__ = ["as_object", "side_by_side"]

_MANY = 10
"""Differing examples that are named; --json has them all."""


def as_object(found: Between) -> dict[str, Any]:
    """Return what --json prints of the comparison."""
    table = found.table
    return {
        "a": found.a,
        "b": found.b,
        "is_comparable": found.is_comparable,
        "reason": found.reason,
        "caveat": found.caveat,
        "steps": list(found.steps),
        "step_a": found.step_a,
        "step_b": found.step_b,
        "n_shared": found.n_shared,
        "differing": found.differing.to_pylist(),
        "only_right_in_a": found.only_right_in("a"),
        "only_right_in_b": found.only_right_in("b"),
        "mcnemar_p": found.p_value,
        "loss_difference": asdict(_interval(found, "loss")) if table is not None else None,
        "mean_loss_difference": asdict(_interval(found, "mean_loss"))
        if table is not None
        else None,
        "examples": None if table is None else table.to_pylist(),
    }


def side_by_side(
    a: Observed, b: Observed, names: tuple[str, str], gallery: Gallery, limit: int | None
) -> Iterator[str]:
    """Yield the comparison of A with B."""
    from labbook import dynamics

    found = dynamics.between(a, b)
    yield ""
    yield f"A {clean(names[0])} ({found.a}), B {clean(names[1])} ({found.b})"
    if found.table is None:
        yield from _not_comparable(found)
        return
    if found.caveat:
        yield click.style(found.caveat, fg="magenta") if has_colour() else found.caveat
    else:
        n = len(found.steps)
        steps = "one step" if n == 1 else f"{n} steps"
        yield f"at the {steps} observed in both, up to {found.step_a}"
    yield from _numbers(found)
    at = f"at step {found.step_a}" if found.caveat is None else "at the last observations"
    for title, rows, caption in _sections(found):
        yield from titled(title, at, rows, caption, gallery=gallery, limit=limit)


def _sections(found: Between) -> Iterator[tuple[str, list[Row], Callable[[Row], str]]]:
    """Yield the examples that one run alone gets right; without classes, where its loss is less."""
    assert found.table is not None
    rows = {row["example"]: row for row in found.table.to_pylist()}
    if found.p_value is not None:
        for one, other in ("ab", "ba"):
            title = f"Right in {one.upper()}, wrong in {other.upper()}"
            yield title, [rows[example] for example in found.only_right_in(one)], _predictions
        return
    known = [row for row in rows.values() if row["loss_difference"] is not None]
    for one, sign in (("A", 1), ("B", -1)):
        less = [row for row in known if sign * row["loss_difference"] > 0]
        less.sort(key=lambda row: -abs(row["loss_difference"]))
        yield f"Less loss in {one}", less, _losses


def _numbers(found: Between) -> Iterator[str]:
    assert found.table is not None
    first = Counter(found.table.column("first").to_pylist())
    if set(first) - {None}:
        yield (f"right first: A {first['a']}, B {first['b']}; together or never {first['same']}")
    if found.p_value is not None:
        only = len(found.only_right_in("a")), len(found.only_right_in("b"))
        yield (
            f"right in one only: A {only[0]}, B {only[1]} "
            f"(exact McNemar test: p = {number_text(found.p_value)})"
        )
    texts = [
        f"  {words:<9}  {_text(interval)}"
        for column, words in (("loss", "loss"), ("mean_loss", "mean loss"))
        if (interval := _interval(found, column)).difference is not None
    ]
    if texts:
        yield "B - A, mean over the examples with its 95 % confidence interval:"
        yield from texts


def _interval(found: Between, column: str) -> Interval:
    from labbook.compare.paired import paired_interval

    assert found.table is not None
    one, other = (
        found.table.column(f"{column}_{run}").fill_null(float("nan")).to_numpy() for run in "ab"
    )
    return paired_interval(one, other)


def _text(interval: Interval) -> str:
    text = f"{interval.difference:+.4g}"
    if interval.low is not None and interval.high is not None:
        text += f"  [{interval.low:+.4g}, {interval.high:+.4g}]"
        text += "" if interval.is_clear else ", may be chance"
    left_out = f", {interval.n_left_out} not finite" if interval.n_left_out else ""
    return f"{text}  ({interval.n} examples{left_out})"


def _predictions(row: Row) -> str:
    return f"A {number_text(row['prediction_a'])} B {number_text(row['prediction_b'])}"


def _losses(row: Row) -> str:
    return f"loss A {number_text(row['loss_a'])} B {number_text(row['loss_b'])}"


def _not_comparable(found: Between) -> Iterator[str]:
    yield f"not comparable: {found.reason}"
    rows = found.differing.to_pylist()
    counts = Counter(row["why"] for row in rows)
    for why, n in sorted(counts.items()):
        indices = [str(row["index"]) for row in rows if row["why"] == why]
        some = ", ".join(indices[:_MANY]) + (" …" if n > _MANY else "")
        words = why.replace("in a", "in A").replace("in b", "in B")
        yield f"  {words}: {n} of the data ({some})"
    yield f"  {found.n_shared} examples are the same in both"
