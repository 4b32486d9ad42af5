"""The sets of examples that a run follows, as an evaluation sees them."""

from __future__ import annotations

import json
from typing import Any

from labbook.book.runreader import RunReader
from labbook.client.dataset import read_examples, source_of
from labbook.client.digest import example_digest, set_digest
from labbook.errors import LabbookError
from labbook.paths import RunPaths
from labbook.watch.batches import Examples
from labbook.watch.context import Chosen, ChosenSets

__all__ = ["are_the_same", "read_chosen"]


def read_chosen(paths: RunPaths) -> ChosenSets:
    """The chosen sets of a run; what cannot be read is left out."""
    found: dict[str, Chosen] = {}
    try:
        reader = RunReader(paths)
        for name in reader.chosen_sets():
            found[name] = _read(reader, name)
    except (LabbookError, OSError, ValueError, KeyError):
        pass  # a book that is damaged there; `labbook doctor` says so
    return ChosenSets(found)


def are_the_same(chosen: Chosen, examples: Examples) -> bool | None:
    """Whether an evaluation's examples with a set's indices as ids are the set's examples.

    Then a result's rows with those ids go with the set's observations. None where one of the two
    has no digest.
    """
    known = set(examples.ids)
    if chosen.digest is None or not chosen.indices or not known.issuperset(chosen.indices):
        return None if chosen.digest is None else False
    places = examples.places(chosen.indices)
    try:
        read = read_examples(source_of(examples.dataset), places, len(places), chosen.seed or 0)
    except Exception:  # the border to the user's dataset: whether they match is then not known
        return None
    digest = set_digest([example_digest(item) for item in read.items])
    return None if digest is None else digest == chosen.digest


def _read(reader: RunReader, name: str) -> Chosen:
    table = reader.examples(name)
    header: Any = json.loads((table.schema.metadata or {}).get(b"labbook") or b"{}")
    return Chosen(
        name=name,
        indices=tuple(table.column("index").to_pylist()) if "index" in table.column_names else (),
        digest=header.get("digest"),
        seed=header.get("seed"),
        length=header.get("length"),
    )
