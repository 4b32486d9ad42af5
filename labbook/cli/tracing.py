"""Single examples in detail: what went in, and what came out at each observation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from labbook.cli.cards import Gallery, cut, shown
from labbook.cli.pictures import sparkline
from labbook.cli.tables import Column, has_colour, render
from labbook.cli.wording import number_text

if TYPE_CHECKING:
    from labbook.dynamics import Observed

__all__ = ["in_detail"]

_ROWS = 20
"""Observations of an example that are shown; --json has them all."""

_COLUMNS, _LINES = 32, 16

Row = dict[str, Any]


def in_detail(
    seen: Observed, examples: Sequence[int], gallery: Gallery, limit: int | None
) -> Iterator[str]:
    """Yield picture or text, facts and history of each example."""
    from labbook import dynamics

    for example in examples:
        rows = dynamics.history(seen, example).to_pylist()
        about = gallery.about[example]
        yield ""
        title = f"#{example}" + (
            f", number {about['index']} of the data" * (about["index"] is not None)
        )
        yield click.style(title, bold=True) if has_colour() else title
        facts = list(_facts(about, rows))
        yield from _beside(gallery.picture(example, _COLUMNS, _LINES), facts, gallery.width)
        text = gallery.text(example)
        if text is not None:
            yield from (
                f"  {text[at : at + gallery.width]}" for at in range(0, len(text), gallery.width)
            )
        yield ""
        picked = _picked(rows, limit or _ROWS)
        yield from (f"  {line}" for line in _table(picked, gallery.width))
        if len(picked) < len(rows):
            yield f"  {len(rows) - len(picked)} of {len(rows)} observations are left out here"


def _facts(about: Row, rows: list[Row]) -> Iterator[str]:
    if about["target"] is not None:
        yield f"target {shown(about['target'])}"
    losses = [row["loss"] for row in rows]
    if any(loss is not None for loss in losses):
        yield f"loss {sparkline(losses, 24)}  mean {number_text(about['mean_loss'])}"
        rank = about["suspect_rank"]
        if rank is not None:
            yield f"number {rank} by mean loss"
    if about["status"] is not None:
        yield about["status"]
        if about["first_correct"] is not None:
            yield f"right first at step {about['first_correct']}"
        if about["stays_correct_from"] is not None:
            yield f"stays right from step {about['stays_correct_from']}"
        if about["forgettings"]:
            yield f"forgotten {about['forgettings']}×"
        yield f"right at {about['correctness']:.0%} of the observations"
    if about["confidence"] is not None:
        region = "" if about["region"] is None else f": {about['region']}"
        yield f"confidence {about['confidence']:.2f} ± {about['variability']:.2f}{region}"
    if about["mean_error"] is not None:
        yield f"mean error {number_text(about['mean_error'])}"


def _beside(picture: list[str], facts: list[str], width: int) -> Iterator[str]:
    """Yield the picture's lines, and the facts at its right."""
    wide = len(click.unstyle(picture[0])) if picture else 0
    gap = "  " if wide else ""
    for at in range(max(len(picture), len(facts))):
        left = picture[at] if at < len(picture) else " " * wide
        right = cut(facts[at], width - wide - len(gap)) if at < len(facts) else ""
        yield f"  {left}{gap}{right}".rstrip()


def _picked(rows: list[Row], most: int) -> list[Row]:
    """First and last, all events, then those that predict something new, then evenly spread."""
    if len(rows) <= most:
        return rows
    changed = [
        at for at in range(1, len(rows)) if rows[at]["prediction"] != rows[at - 1]["prediction"]
    ]
    events = [at for at, row in enumerate(rows) if row["event"]]
    spread = [at * (len(rows) - 1) // (most - 1) for at in range(most)] if most > 1 else []
    order = dict.fromkeys([len(rows) - 1, 0, *events, *changed, *spread])
    return [rows[at] for at in sorted(list(order)[:most])]


def _table(rows: list[Row], width: int) -> list[str]:
    def number(title: str, key: str, rank: int) -> Column:
        return Column(title, [number_text(row[key]) for row in rows], rank, is_number=True)

    right = {True: "yes", False: "no", None: "-"}
    columns = {
        "step": number("step", "step", 0),
        "loss": number("loss", "loss", 0),
        "prediction": number("output", "prediction", 0),
        "is_right": Column("right", [right[row["is_right"]] for row in rows]),
        "probability": number("its probability", "probability", 2),
        "confidence": number("target's", "confidence", 1),
        "error": number("error", "error", 0),
        "event": Column("", [row["event"] or "" for row in rows]),
    }
    known = [c for key, c in columns.items() if any(row[key] is not None for row in rows)]
    return render(known, width)[0]
