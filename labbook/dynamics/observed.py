"""A chosen set as its run recorded it: what every measure of learning dynamics starts from.

Invariant: each measure is made of recorded columns only. What a run did not record, or recorded in
another shape, is None here and null in every table.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labbook.dynamics.columns import (
    Bools,
    Floats,
    Ints,
    Numbers,
    Vectors,
    facts_of,
    integers,
    numbers,
    sequences,
    shape_of,
    vectors,
)
from labbook.dynamics.grid import Grid, Places
from labbook.dynamics.residuals import Residuals, Spread, residuals, spread
from labbook.dynamics.scores import ScoreKind, Scores, class_scores
from labbook.errors import MisuseError, StoreError

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["Observed", "observed", "read"]


def read(run: RunReader, name: str | None = None, *, scores: ScoreKind | None = None) -> Observed:
    """Read a chosen set of a run, as of the reader's last refresh.

    `name`: the set; without one the set "chosen", or the only one there is. `scores` says what the
    outputs are when the run's rows cannot: "logits", "log-probabilities" or "probabilities".

    Rows that a later attempt superseded are left out, as everywhere. Raises `StoreError` when there
    is no such set, and `MisuseError` for another word in `scores`.
    """
    if scores not in (None, "logits", "log-probabilities", "probabilities"):
        raise MisuseError(
            f'scores= is "logits", "log-probabilities" or "probabilities", got {scores!r}'
        )
    name = _the_set(run) if name is None else name
    return Observed(run.id, name, run.chosen(name), run.examples(name), scores)


def _the_set(run: RunReader) -> str:
    sets = run.chosen_sets()
    if "chosen" in sets or not sets:
        return "chosen"  # the reader says what it thinks of a run without any
    if len(sets) > 1:
        raise StoreError(f"run {run.id} has several chosen sets, name one: {', '.join(sets)}")
    return sets[0]


class Observed:
    """One chosen set, its examples and all observations of them.

    Grids are (examples, steps), in the order of `example` and `step`. What is costly is computed
    when it is first asked for, and kept.
    """

    def __init__(
        self,
        run: str,
        name: str,
        rows: pa.Table,
        inputs: pa.Table,
        scores: ScoreKind | None = None,
    ) -> None:
        self.run = run
        self.name = name
        self.rows = rows
        """As `RunReader.chosen` gives them."""
        self.inputs = inputs
        """As `RunReader.examples` gives them."""
        self.about = facts_of(inputs)
        """What was recorded of the set: seed, by, length, digest, kind of the inputs …"""
        self._asked = scores
        ids = [table.column("example").to_numpy() for table in (rows, inputs)]
        self.example: Ints = np.unique(np.concatenate(ids)).astype(np.int64)
        """Ids of the examples, ascending: their places in the set."""
        self._places = Places(rows, self.example)
        self.step: Ints = self._places.steps
        """Steps at which anything was recorded, ascending."""

    def __repr__(self) -> str:
        n, steps = self._places.shape
        return f"<chosen set {self.name!r} of {self.run}: {n} examples, {steps} observations>"

    def only(self, steps: Ints) -> Observed:
        """The same set as if it had been observed at these steps only."""
        wanted = pc.is_in(self.rows.column("step"), value_set=pa.array(steps, pa.int64()))
        return Observed(self.run, self.name, self.rows.filter(wanted), self.inputs, self._asked)

    @property
    def digest(self) -> str | None:
        """Digest of the examples' content; None when it is not known."""
        digest = self.about.get("digest")
        return digest if isinstance(digest, str) else None

    @cached_property
    def input_row(self) -> Ints:
        """The row in `inputs` of each example, (examples,); -1 when it has none."""
        ids = self.inputs.column("example").to_numpy()
        row = np.full(len(self.example), -1, np.int64)
        row[np.searchsorted(self.example, ids)] = np.arange(len(ids))
        return row

    @property
    def n_without_step(self) -> int:
        """Rows that have no step, and so no place."""
        return int((~self._places.has_step).sum())

    @property
    def n_repeated(self) -> int:
        """Rows of an example and step that has another row, recorded later."""
        return int(self.rows.num_rows) - self.n_without_step - int(self.is_observed.sum())

    @cached_property
    def is_observed(self) -> Bools:
        """Whether an example has any row at a step."""
        every = np.ones(self.rows.num_rows, np.bool_)
        return self._places.grid(Numbers(every, every)).known

    @cached_property
    def time(self) -> pa.Array:
        """When each observation was recorded, (steps,), the last of its rows."""
        column = self.rows.column("time")
        at = np.zeros(len(self.step), np.int64)
        has_step = self._places.has_step
        milliseconds = column.cast(pa.int64()).fill_null(0).to_numpy()[has_step]
        np.maximum.at(at, self._places.columns[has_step], milliseconds)
        return pa.array(at).cast(column.type)

    # ------------------------------------------------------------------ what was recorded

    @cached_property
    def loss(self) -> Grid | None:
        """The recorded loss; NaN and infinity are known values."""
        return self._grid(numbers(self.rows, "loss"))

    @cached_property
    def label(self) -> Ints | None:
        """The targets as classes, (examples,), -1 where unknown; None unless whole numbers."""
        column = integers(self.inputs, "target")
        if column is None:
            return None
        # a negative class is how an example is left out of the loss, as -100 is in torch
        values = np.append(np.where(column.known & (column.values >= 0), column.values, -1), -1)
        return np.asarray(values[self.input_row], np.int64)

    @cached_property
    def target(self) -> Floats | None:
        """The targets as real numbers, (examples, D), NaN where unknown; None unless floats."""
        if integers(self.inputs, "target") is not None:
            return None
        found = vectors(self.inputs, "target")
        if found is None or not _is_float(self.inputs.schema.field("target").type):
            return None
        values = np.full((self.inputs.num_rows + 1, found.width), np.nan)
        for at, block in found.blocks(found.known):
            values[at] = block
        return np.asarray(values[self.input_row])

    @property
    def prediction(self) -> Grid | None:
        """The recorded prediction, else the highest class score; see `has_classes`."""
        return self._prediction[0]

    @property
    def has_classes(self) -> bool:
        """Whether predictions are classes; of lists of numbers only equality means anything."""
        return self._prediction[1]

    @cached_property
    def _prediction(self) -> tuple[Grid | None, bool]:
        recorded = integers(self.rows, "prediction")
        if recorded is None and self.scores is not None:
            recorded = self.scores.prediction
        if recorded is not None:
            return self._places.grid(recorded), True
        return self._grid(sequences(self.rows, "prediction")), False

    @cached_property
    def correct(self) -> Grid | None:
        """The recorded `correct`, else whether the prediction is the target's class."""
        if "correct" in self.rows.column_names:
            kind = self.rows.schema.field("correct").type
            return self._grid(integers(self.rows, "correct")) if pa.types.is_boolean(kind) else None
        if self.prediction is None or self.label is None or not self.has_classes:
            return None
        is_right = self.prediction.values == self.label[:, None]
        return Grid(is_right.astype(np.int64), self.prediction.known & (self.label >= 0)[:, None])

    # ------------------------------------------------------------------ what outputs say

    @cached_property
    def scores(self) -> Scores | None:
        """The outputs as class scores, a row each; None when they are none.

        They are when an output is a list of two or more numbers, and every target is one of these
        classes, or unknown.
        """
        output = self._output
        if output is None or output.width < 2 or self.label is None:
            return None
        if shape_of(self.rows, "output") != [output.width]:
            return None
        if not (self.label >= 0).any() or self.label.max() >= output.width:
            return None
        label = self.label[self._example_of_row]
        return class_scores(output, self._output_rows, label, self._loss_of_row, self._asked)

    @cached_property
    def confidence(self) -> Grid | None:
        """Probability of the target's class."""
        return None if self.scores is None else self._grid(self.scores.target)

    @cached_property
    def residuals(self) -> Residuals | None:
        """Output less target; None unless the targets are floats, as many as the outputs."""
        output, target = self._output, self.target
        if output is None or target is None or output.width != target.shape[1]:
            return None
        is_known: Bools = np.asarray(~np.isnan(target).all(axis=1))
        example = self._example_of_row
        example = np.where(is_known[example], example, -1)
        return residuals(output, self._output_rows, target, example)

    @cached_property
    def spread(self) -> Spread | None:
        """How outputs differ between steps and between examples; None without outputs."""
        if self._output is None:
            return None
        return spread(self._output, self._output_rows, self._places)

    def grid(self, rows: Numbers) -> Grid:
        """Lay out one value a row of `rows`."""
        return self._places.grid(rows)

    def output_at(self, column: int) -> pa.Array | None:
        """The recorded output of each example at a step, null where there is none."""
        if "output" not in self.rows.column_names:
            return None
        output = self.rows.column("output")
        is_there = output.is_valid().to_numpy() & (self._places.columns == column)
        at = np.flatnonzero(self._places.last(is_there))
        row = np.full(len(self.example), -1, np.int64)
        row[self._example_of_row[at]] = at
        return output.take(pa.array(row, mask=row < 0)).combine_chunks()

    def _grid(self, rows: Numbers | None) -> Grid | None:
        return None if rows is None else self._places.grid(rows)

    @cached_property
    def _output(self) -> Vectors | None:
        return vectors(self.rows, "output")

    @cached_property
    def _output_rows(self) -> Bools:
        assert self._output is not None
        return self._places.last(self._output.known)

    @property
    def _loss_of_row(self) -> Numbers | None:
        """The loss of each row's cell: it may have been recorded by a call of its own."""
        if self.loss is None:
            return None
        cells = self._places.cells
        return Numbers(self.loss.values.reshape(-1)[cells], self.loss.known.reshape(-1)[cells])

    @cached_property
    def _example_of_row(self) -> Ints:
        row: Ints = np.searchsorted(self.example, self.rows.column("example").to_numpy())
        return row


def observed(source: RunReader | Observed, name: str | None = None) -> Observed:
    """The chosen set that a measure was asked for; raises as `read`."""
    if not isinstance(source, Observed):
        return read(source, name)
    if name not in (None, source.name):
        raise MisuseError(f"this is chosen set {source.name!r}, not {name!r}: read that one")
    return source


def _is_float(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind.value_type if pa.types.is_nested(kind) else kind))
