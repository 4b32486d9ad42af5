"""The Results part of `labbook diff`: series, metrics, and paired differences as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from labbook.book.text import clean
from labbook.cli.tables import Column, has_colour, render, terminal_width
from labbook.cli.wording import number_text

if TYPE_CHECKING:
    from labbook.compare import MetricPair, Paired, Results, SeriesPair

__all__ = ["result_lines"]

_MARGIN = 2
"""The indentation under the title."""

_PAIRED = "B - A over the same examples, mean with its 95 % confidence interval:"


def result_lines(results: Results) -> Iterator[str]:
    """Yield the series, the metrics, the paired differences, and what is missing."""
    blocks = [
        _series(results.series) if results.series else [],
        _metrics(results.metrics) if results.metrics else [],
        [_PAIRED, *map(_paired, results.paired)] if results.paired else [],
        [_note(clean(note)) for note in results.notes],
    ]
    is_first = True
    for block in filter(None, blocks):
        if not is_first:
            yield ""
        is_first = False
        yield from block


def _series(pairs: tuple[SeriesPair, ...]) -> list[str]:
    columns = [Column("series", [pair.name for pair in pairs], can_shrink=True)]
    for stat, rank in (("last", 0), ("min", 1), ("max", 2)):
        for letter in "ab":
            found = [getattr(pair, letter) for pair in pairs]
            cells = [number_text(one and getattr(one, stat)) for one in found]
            title = f"{stat} {letter.upper()}"
            columns.append(Column(title, cells, rank=rank, is_number=True))
    return _fitted(columns)


def _metrics(pairs: tuple[MetricPair, ...]) -> list[str]:
    return _fitted(
        [
            Column("metric", [f"{p.evaluation}.{p.metric}" for p in pairs], can_shrink=True),
            Column("A", [number_text(p.a) for p in pairs], is_number=True),
            Column("B", [number_text(p.b) for p in pairs], is_number=True),
            Column("step A", [number_text(p.step_a) for p in pairs], is_number=True, rank=1),
            Column("step B", [number_text(p.step_b) for p in pairs], is_number=True, rank=1),
            Column("over", [_subset(p.subset_a, p.subset_b) for p in pairs], rank=2),
        ]
    )


def _note(text: str) -> str:
    return click.style(text, fg="magenta") if has_colour() else text


def _subset(a: str | None, b: str | None) -> str:
    return (a or b or "-") if a == b or not (a and b) else f"{a} / {b}"


def _paired(pair: Paired) -> str:
    found = pair.interval
    name = f"{pair.name}.{pair.column}"
    if found.difference is None:
        return clean(f"{name}: no example has a finite value in both")
    step = f"step {number_text(pair.step_a)}"
    if pair.step_a != pair.step_b:
        step = f"steps {number_text(pair.step_a)} and {number_text(pair.step_b)}"
    text = f"{name}  {found.difference:+.4g}"
    if found.difference == found.low == found.high == 0:
        text = f"{name}  the same"
    elif found.low is not None and found.high is not None:
        verdict = "" if found.is_clear else ", may be chance"
        text += f"  [{found.low:+.4g}, {found.high:+.4g}]{verdict}"
    text += f"  ({found.n} examples, {step}"
    text += f", {found.n_left_out} not finite" if found.n_left_out else ""
    text += f"; {pair.caveat})" if pair.caveat else ")"
    return clean(text)


def _fitted(columns: list[Column]) -> list[str]:
    width = terminal_width()
    return render(columns, None if width is None else width - _MARGIN)[0]
