"""`labbook data RUN`: the data that a run trained on, as recorded and as given to its model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.cli.options import book_option, echo_json, json_option, open_here

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["data"]


@click.command()
@click.argument("run")
@json_option
@book_option
def data(*, book: str | None, run: str, as_json: bool) -> None:
    """Show the data card of a RUN: what its model was given.

    \b
    run.data(name, source)      fingerprints of the data
    run.inspect(model)          the first batches, as given to model(x)
    run.follow(model)           the same, of a net that is followed
    run.loader(loader)          the targets that belong to them
    """
    reader = open_here(book).run(run)
    if as_json:
        echo_json(_as_json(reader))
        return
    for line in _lines(reader):
        click.echo(line)


def _as_json(reader: RunReader) -> dict[str, Any]:
    from labbook.book.given import cards

    found, damage = cards(reader.facts)
    return {
        "run": reader.id,
        "name": reader.name,
        "fingerprints": _fingerprints(reader),
        "given": [card.raw for card in found],
        "chosen_targets": {
            name: [[value, n] for value, n in values]
            for name, values in _chosen_targets(reader).items()
        },
        "damage": damage,
    }


def _lines(reader: RunReader) -> Iterator[str]:
    from labbook.book.given import cards, newest_cards
    from labbook.cli.datacard import card_lines, chosen_target_lines, fingerprint_lines

    yield f"{reader.id}  {clean(reader.name)}"
    every, damage = cards(reader.facts)
    shown = newest_cards(reader.facts)
    parts = [list(fingerprint_lines(_fingerprints(reader)))]
    parts += [list(card_lines(card)) for card in shown]
    if not any(mode and mode.targets for card in shown for mode in (card.train, card.eval)):
        for name, values in _chosen_targets(reader).items():
            parts.append(list(chosen_target_lines(name, values)))
    for part in filter(None, parts):
        yield ""
        yield from part if part[-1] else part[:-1]
    if not any(parts):
        yield ""
        yield "nothing was recorded of the data: run.data(name, source) keeps a fingerprint,"
        yield "run.inspect(model), or run.follow(model), what the model is given"
    if len(every) > len(shown):
        yield ""
        n = len(every) - len(shown)
        yield f"{n} more card{'s' if n > 1 else ''}, of other processes or attempts (--json)"
    for line in damage:
        yield f"cannot be read: {clean(line)}"


def _fingerprints(reader: RunReader) -> list[dict[str, Any]]:
    """The newest of each name, in the order of the first."""
    found: dict[str, Any] = {}
    for record in reader.facts.facts("data"):
        found[str(record.get("name"))] = record.get("data")
    return [{"name": name, "data": about} for name, about in found.items()]


def _chosen_targets(reader: RunReader) -> dict[str, list[tuple[float, int]]]:
    """Whole-number targets of the chosen sets, counted by value."""
    import pyarrow as pa

    found = {}
    for name in reader.chosen_sets():
        table = reader.examples(name)
        if "target" in table.column_names:
            column = table.column("target")
            if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
                counts = Counter(float(v) for v in column.to_pylist() if v is not None)
                found[name] = sorted(counts.items())
    return found
