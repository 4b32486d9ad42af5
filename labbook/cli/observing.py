"""`labbook dynamics RUN`: how the examples of a chosen set were learned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.cli import against, learned, tracing
from labbook.cli.cards import Gallery, cut
from labbook.cli.options import book_option, echo_json, json_option, open_here
from labbook.cli.tables import has_colour, terminal_width

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["dynamics"]

_PIPE = 80
"""Columns for a pipe, which has none of its own."""

_SORTED = 20
"""Rows of a table without --limit."""

_SORTS = {
    "forgotten": "forgetting",
    "first_learned": "first_correct",
    "learned": "stays_correct_from",
}
"""Other words for some orders."""


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    try:
        return [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is no list of numbers, as 3,17") from None


@click.command()
@click.argument("run")
@click.option("--set", "name", metavar="NAME", help="The chosen set, where a run has several.")
@click.option("--step", type=int, help="Look at this observation instead of the last.")
@click.option("--examples", callback=_numbers, metavar="N,N…", help="These examples in detail.")
@click.option("--suspects", is_flag=True, help="Examples whose labels may be wrong.")
@click.option("--sort", metavar="KEY", help="A table of all examples: mean_loss, forgetting, …")
@click.option("--sample", type=click.IntRange(1), metavar="K", help="K examples drawn at random.")
@click.option("--seed", type=click.IntRange(0, (1 << 32) - 1), help="Draw the same ones again.")
@click.option("--against", metavar="OTHER", help="The same examples in another run.")
@click.option(
    "--scores",
    type=click.Choice(["logits", "log-probabilities", "probabilities"]),
    help="What the outputs are, where the run does not tell.",
)
@click.option("--limit", "-n", type=click.IntRange(1), help="At most so many of each.")
@json_option
@book_option
def dynamics(*, book: str | None, run: str, as_json: bool, **asked: Any) -> None:
    """Show how the examples of a chosen set were learned.

    Which were learned late, forgotten and never learned, whose labels may be
    wrong, which sit at the quartiles of the loss, and some at random, others
    each time.

    \b
    --sort KEY is one of: mean_loss first_loss last_loss min_loss max_loss
    forgetting first_correct stays_correct_from changes confidence variability
    correctness error class index example
    """
    opened = open_here(book)
    reader = opened.run(run)
    other = opened.run(asked["against"]) if asked["against"] is not None else None
    question = Question(reader, other, asked)
    if as_json:
        echo_json(question.as_object())
    else:
        for line in question.lines():
            click.echo(line)


class Question:
    """What was asked of one run, answered in text or as an object."""

    def __init__(self, run: RunReader, other: RunReader | None, asked: dict[str, Any]) -> None:
        from labbook import dynamics as measured

        self.run, self.asked = run, asked
        self.sets = run.chosen_sets()
        name = asked["name"] or _the_set(self.sets)
        self.seen = measured.read(run, name, scores=asked["scores"])
        self.other = None
        if other is not None:
            self.other = measured.read(other, name, scores=asked["scores"])
            self.other_name = other.name
        self.examples = measured.examples(self.seen)
        self.steps = measured.steps(self.seen)
        self.notes = measured.notes(self.seen)
        place = measured.place_of(self.seen, asked["step"])
        self.step = int(self.seen.step[place]) if len(self.seen.step) else None
        self.place = place

    @property
    def limit(self) -> int | None:
        """Of --limit."""
        limit: int | None = self.asked["limit"]
        return limit

    def lines(self) -> Iterator[str]:
        """Yield the text: the sections asked for, or those that answer most."""
        width = terminal_width() or _PIPE
        about = {row["example"]: row for row in self.examples.to_pylist()}
        gallery = Gallery(self.seen, self.step, width - 2, about)
        others = [name for name in self.sets if name != self.seen.name]
        for line in learned.head(self.seen, self.run.name, others, self.notes):
            yield cut(line, width) if not has_colour() else line
        asked = self.asked
        if asked["examples"]:
            yield from tracing.in_detail(self.seen, asked["examples"], gallery, self.limit)
        if asked["suspects"]:
            yield from learned.suspects(self.examples, gallery, self.limit or 4 * gallery.per_row)
        if asked["sort"]:
            yield ""
            yield from learned.in_order(
                self.examples, self._rows(self.limit or _SORTED), terminal_width()
            )
        if asked["sample"]:
            yield from self._at_random(gallery, asked["sample"])
        if self.other is not None:
            yield from against.side_by_side(
                self.seen, self.other, (self.run.name, self.other_name), gallery, self.limit
            )
        given = ("examples", "suspects", "sort", "sample", "against")
        if not any(asked[name] for name in given):
            yield from self._overview(gallery)

    def _overview(self, gallery: Gallery) -> Iterator[str]:
        from labbook import dynamics as measured

        yield from learned.overview(self.seen, self.examples, self.steps, self.place)
        if not len(self.seen.step):
            return
        if self.asked["step"] is None and len(self.seen.step) == 1:
            yield from learned.suspects(self.examples, gallery, self.limit)
        elif self.asked["step"] is None:
            yield from learned.events(self.examples, gallery, self.limit)
            yield from learned.suspects(self.examples, gallery, self.limit)
        found = measured.quantiles(self.seen, step=self.step)
        yield from learned.at_quartiles(found, gallery, self.step)
        yield from self._at_random(gallery, self.limit or gallery.per_row)
        if gallery.reason:
            yield ""
            yield f"the inputs are not shown: {clean(gallery.reason)}"

    def _at_random(self, gallery: Gallery, k: int) -> Iterator[str]:
        from labbook import dynamics as measured

        found = measured.sample(self.seen, k=k, seed=self.asked["seed"], step=self.step)
        yield from learned.at_random(found, gallery)

    def _rows(self, limit: int | None) -> list[int]:
        from labbook import dynamics as measured

        sort = self.asked["sort"] or "example"
        found: list[int] = measured.order(self.examples, _SORTS.get(sort, sort)).tolist()
        return found[:limit]

    def as_object(self) -> dict[str, Any]:
        """Everything, for --json: see `labbook.dynamics` for the tables."""
        from labbook import dynamics as measured

        seen, asked = self.seen, self.asked
        scores = seen.scores
        drawn = measured.sample(seen, k=asked["sample"] or 8, seed=asked["seed"], step=self.step)
        found: dict[str, Any] = {
            "run": seen.run,
            "name": self.run.name,
            "set": seen.name,
            "sets": self.sets,
            "digest": seen.digest,
            "about": {key: seen.about.get(key) for key in ("seed", "by", "length", "kind")},
            "scores": scores
            and {"kind": scores.kind, "basis": scores.basis, "n_classes": scores.n_classes},
            "notes": self.notes,
            "step": self.step,
            "examples": self.examples.take(self._rows(self.limit)).to_pylist(),
            "steps": self.steps.to_pylist(),
            "quantiles": measured.quantiles(seen, step=self.step).to_pylist(),
            "histogram": measured.histogram(seen, step=self.step).to_pylist(),
            "sample": {"seed": drawn.seed, "examples": drawn.table.to_pylist()},
            "histories": {
                str(example): measured.history(seen, example).to_pylist()
                for example in asked["examples"] or ()
            },
            "against": None,
        }
        if self.other is not None:
            found["against"] = against.as_object(measured.between(seen, self.other))
        return found


def _the_set(sets: list[str]) -> str | None:
    """The set that a screen begins with: "chosen", else the first; the others are named."""
    return None if "chosen" in sets or not sets else sets[0]
