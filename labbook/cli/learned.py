"""The text of `labbook dynamics`: the set as a whole, and which of its examples to look at.

Invariant: a section says what it shows and how many more there are; one that has nothing is a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from labbook.book.text import clean
from labbook.cli.cards import Gallery, Row, cut, shown
from labbook.cli.pictures import sparkline
from labbook.cli.tables import Column, has_colour, render
from labbook.cli.wording import number_text

if TYPE_CHECKING:
    import pyarrow as pa

    from labbook.dynamics import Observed, Sample

__all__ = [
    "at_quartiles",
    "at_random",
    "events",
    "head",
    "in_order",
    "overview",
    "suspects",
    "titled",
]

_CURVE = 24
"""Cells of a curve over the steps."""

_INDENT = "  "
_QUARTILES = ("min", "q1", "median", "q3", "max")

Rows = list[Row]
Caption = Callable[[Row], str]


def head(seen: Observed, name: str, others: Sequence[str], notes: Sequence[str]) -> Iterator[str]:
    """Say which run and set this is, and what is missing."""
    yield f"{clean(name)}  {_dim(seen.run)}" if name != seen.run else seen.run
    n, steps = len(seen.example), seen.step
    text = f"chosen set {clean(seen.name)}: {n} example{'' if n == 1 else 's'}"
    if len(steps):
        times = "once" if len(steps) == 1 else f"{len(steps)} times"
        text += f", observed {times}, step {steps[0]}" + (
            f" to {steps[-1]}" if len(steps) > 1 else ""
        )
    yield text + ("" if len(steps) else ", not observed yet")
    if others:
        yield _dim(f"other sets: {', '.join(map(clean, others))} (--set)")
    if len(steps) == 1:
        yield _note("one observation is too few to say what was learned when: observe() it again")
    for note in notes:
        yield _note(clean(note))


def overview(seen: Observed, table: pa.Table, steps: pa.Table, at: int) -> Iterator[str]:
    """The whole set over the training, a line each: a curve, first and last value; `at` a row."""
    if not steps.num_rows:
        return
    row = steps.slice(at, 1).to_pylist()[0]
    yield ""
    yield from _curve("loss", steps, "median_loss", "median")
    yield from _curve("accuracy", steps, "accuracy", "")
    yield from _curve("agreement", steps, "agreement", "with the one before")
    yield from _curve("calibration", steps, "calibration_error", _calibration(seen))
    yield from _curve("error", steps, "error", "root mean square")
    yield from _curve("R squared", steps, "r_squared", "")
    yield _dim(f"at step {row['step']}")
    if row["n_loss"]:
        five = "  ".join(number_text(row[f"{word}_loss"]) for word in _QUARTILES)
        yield f"{'loss':<11}  {five}  {_dim('quartiles')}"
    if row["n_classes"] is not None:
        yield f"{'predictions':<11}  {_predicted(row)}"
    per_example = [n for n in table.column("n_nonfinite").to_pylist() if n]
    if per_example:
        yield _note(f"{sum(per_example)} losses of {len(per_example)} examples are not finite")


def _predicted(row: Row) -> str:
    text = f"{row['n_classes']} classes, {row['top_share']:.0%} of them {row['top_class']}"
    if row["total_variation"] is not None:
        text += f"; total variation from the targets {row['total_variation']:.2f}"
    return text


def _curve(word: str, steps: pa.Table, column: str, about: str) -> Iterator[str]:
    values = steps.column(column).to_pylist()
    known = [value for value in values if value is not None]
    if not known:
        return
    ends = number_text(known[0])
    if len(known) > 1:
        ends += f" → {number_text(known[-1])}"
    line = f"{word:<11}  {sparkline(values, _CURVE):<{_CURVE}}  {ends:<18}"
    yield (f"{line}  {_dim(about)}" if about else line).rstrip()


def _calibration(seen: Observed) -> str:
    scores = seen.scores
    if scores is None:
        return ""
    if scores.kind == "logits":
        return "taken for logits" if scores.basis.startswith("assumed") else "softmax"
    return scores.kind


def events(table: pa.Table, gallery: Gallery, limit: int | None) -> Iterator[str]:
    """Which examples were learned late, forgotten and never learned."""
    rows = table.to_pylist()
    if any(row["status"] is not None for row in rows):
        late = [row for row in rows if row["stays_correct_from"] is not None]
        late.sort(key=lambda row: (-row["stays_correct_from"], -(row["mean_loss"] or 0)))
        first = min((row["stays_correct_from"] for row in late), default=None)
        late = [row for row in late if row["stays_correct_from"] != first]
        forgotten = [row for row in rows if row["forgettings"]]
        forgotten.sort(key=lambda row: (-row["forgettings"], -(row["mean_loss"] or 0)))
        never = [row for row in rows if row["status"] == "never learned"]
        never.sort(key=lambda row: -(row["mean_loss"] or 0))
        for title, why, found, caption in (
            ("Learned late", "right only from this step on", late, _from),
            ("Forgotten", "right, then wrong again", forgotten, _forgot),
            ("Never learned", "right at no observation", never, _mean),
        ):
            yield from titled(title, why, found, caption, gallery=gallery, limit=limit)


def titled(
    title: str, about: str, rows: Rows, caption: Caption, *, gallery: Gallery, limit: int | None
) -> Iterator[str]:
    """A section of examples, as many as stand in a row unless `limit` says more."""
    yield ""
    if not rows:
        yield f"{_bold(title)}: none"
        return
    n = limit or (gallery.per_row if gallery.is_pictures else 3)
    more = f", {min(n, len(rows))} of them below" if len(rows) > n else ""
    yield f"{_bold(title)}: {len(rows)}{_dim(more)}  {_dim(about)}"
    yield from _indented(gallery.lines(rows[:n], caption))


def suspects(table: pa.Table, gallery: Gallery, limit: int | None) -> Iterator[str]:
    """The examples with the greatest mean loss: wrong labels are among them, if there are any."""
    ranked = [row for row in table.to_pylist() if row["suspect_rank"] is not None]
    ranked.sort(key=lambda row: row["suspect_rank"])
    n = limit or (gallery.per_row if gallery.is_pictures else 3)
    yield ""
    far = sum(bool(row["is_far_out"]) for row in ranked)
    about = "greatest mean loss over the training: look at their targets"
    if far:
        about += f"; {far} far out"
    yield f"{_bold('Suspects')}  {_dim(about)}"
    yield from _indented(gallery.lines(ranked[:n], _mean))


def at_quartiles(found: pa.Table, gallery: Gallery, step: int | None) -> Iterator[str]:
    """The examples at the quartiles of the loss."""
    if not found.num_rows:
        return
    yield ""
    yield f"{_bold('At the quartiles of the loss')}  {_dim(f'at step {step}')}"
    yield from _indented(gallery.lines(found.to_pylist(), _loss, _QUARTILES))


def at_random(found: Sample, gallery: Gallery) -> Iterator[str]:
    """Examples drawn at random, and how to draw them again."""
    rows = found.table.to_pylist()
    if not rows:
        return
    yield ""
    again = f"--sample {len(rows)} --seed {found.seed} shows these again"
    yield f"{_bold('At random')}  {_dim(again)}"
    yield from _indented(gallery.lines(rows, _loss))


def in_order(table: pa.Table, rows: Sequence[int], width: int | None) -> list[str]:
    """The examples as a table, these rows in this order."""
    found = table.take(list(rows)).to_pylist()

    def number(title: str, column: str, rank: int) -> Column:
        return Column(title, [number_text(row[column]) for row in found], rank, is_number=True)

    columns = [
        Column("#", [str(row["example"]) for row in found], is_number=True),
        number("index", "index", 5),
        Column("target", [cut(shown(row["target"]), 16) for row in found]),
        number("output", "last_prediction", 0),
        number("mean loss", "mean_loss", 0),
        number("last loss", "last_loss", 2),
        number("right from", "first_correct", 3),
        number("stays right", "stays_correct_from", 1),
        number("forgot", "forgettings", 1),
        number("changes", "n_changes", 4),
        number("conf.", "confidence", 3),
        number("var.", "variability", 4),
        number("correct", "correctness", 4),
        Column("region", [row["region"] or "-" for row in found], 2),
        number("error", "mean_error", 1),
    ]
    names = dict(zip(_COLUMNS, columns, strict=True))
    known = [c for name, c in names.items() if name == "example" or _has(found, name)]
    return render(known, width)[0]


_COLUMNS = (
    "example",
    "index",
    "target",
    "last_prediction",
    "mean_loss",
    "last_loss",
    "first_correct",
    "stays_correct_from",
    "forgettings",
    "n_changes",
    "confidence",
    "variability",
    "correctness",
    "region",
    "mean_error",
)


def _has(rows: Rows, name: str) -> bool:
    return any(row[name] is not None for row in rows)


def _from(row: Row) -> str:
    return f"from {row['stays_correct_from']}"


def _forgot(row: Row) -> str:
    return f"forgot {row['forgettings']}×"


def _mean(row: Row) -> str:
    return f"mean {number_text(row['mean_loss'])}"


def _loss(row: Row) -> str:
    return f"loss {number_text(row['loss'])}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (_INDENT + line if line else "" for line in lines)


def _bold(text: str) -> str:
    return click.style(text, bold=True) if has_colour() else text


def _dim(text: str) -> str:
    return click.style(text, dim=True) if text and has_colour() else text


def _note(text: str) -> str:
    return click.style(text, fg="magenta") if has_colour() else text
