"""Which examples to look at, with what went in and what came out: input-output pairs.

The inputs themselves are drawn by `labbook.dynamics.inputs`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from labbook.dynamics.arrow import known, nothing
from labbook.dynamics.columns import Ints
from labbook.dynamics.examples import targets
from labbook.dynamics.grid import Grid
from labbook.dynamics.learning import learning
from labbook.dynamics.losses import QUARTILES, rank
from labbook.dynamics.observed import Observed, observed
from labbook.errors import MisuseError

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["Sample", "histogram", "history", "pairs", "place_of", "quantiles", "sample"]

SEEDS: Final = 1 << 32


def pairs(run: RunReader | Observed, examples: Sequence[int], step: int | None = None) -> pa.Table:
    """What went in and came out of some examples at one step (the last when None), in this order.

    Columns: `step`, `example`, `index`, `target`, `loss`, `prediction`, `is_right`, `probability`
    (of the highest class score), `confidence` (probability of the target's class), `error` (root
    mean square of output less target, where both are real numbers) and `output` as recorded; null
    where unknown. Raises `MisuseError` for an example or a step that was not observed.
    """
    seen = observed(run)
    return _pairs(seen, _rows_of(seen, examples), place_of(seen, step))


def quantiles(
    run: RunReader | Observed,
    name: str | None = None,
    *,
    step: int | None = None,
    at: Sequence[float] = QUARTILES,
) -> pa.Table:
    """The examples at quantiles of the loss at one step (the last when None), a row each.

    Columns: `quantile`, and those of `pairs`. The quantile is some example's loss, see
    `losses.Ranked.at`. No rows when no finite loss was recorded then. Raises as `pairs` and `read`.
    """
    if not all(0 <= share <= 1 for share in at):
        raise MisuseError(f"quantiles lie between 0 and 1, got {list(at)}")
    seen = observed(run, name)
    column = place_of(seen, step)
    places = np.full(len(at), -1)
    if seen.loss is not None and len(seen.step):
        one = Grid(seen.loss.values[:, [column]], seen.loss.known[:, [column]])
        ranked = rank(one)
        places = np.array([ranked.at(share)[0] for share in at], np.int64)
    found = places >= 0
    table = _pairs(seen, places[found], column)
    return table.add_column(0, "quantile", pa.array(np.array(at, np.float64)[found]))


@dataclass(frozen=True)
class Sample:
    """Examples drawn at random, and the seed that draws them again."""

    seed: int
    table: pa.Table


def sample(
    run: RunReader | Observed,
    name: str | None = None,
    *,
    k: int = 8,
    seed: int | None = None,
    step: int | None = None,
) -> Sample:
    """Draw `k` examples to look at, others each time unless a `seed` says which.

    Columns as `pairs`, at one step (the last when None). Drawn without replacement by numpy's
    `RandomState`, whose sequences stay as they are (NEP 19); no global generator is moved. Raises
    as `pairs` and `read`, and `MisuseError` for a seed that is none.
    """
    if seed is not None and not 0 <= seed < SEEDS:
        raise MisuseError(f"a seed is a whole number from 0 to {SEEDS - 1}, got {seed}")
    if k < 1:
        raise MisuseError(f"a sample has at least one example, got k={k}")
    seen = observed(run, name)
    seed = secrets.randbelow(SEEDS) if seed is None else seed
    rows = np.random.RandomState(seed).permutation(len(seen.example))[:k].astype(np.int64)
    return Sample(seed, _pairs(seen, rows, place_of(seen, step)))


def history(run: RunReader | Observed, example: int, name: str | None = None) -> pa.Table:
    """All observations of one example: a row for each step at which it was observed.

    Columns: `step`, `loss`, `prediction`, `is_right`, `probability`, `confidence`, `error` (as in
    `pairs`), and `event`: "learned" (right after wrong, or from the first), "forgotten" (wrong
    after right), or null. Raises `MisuseError` for an example that is not in the set, and as
    `read`.
    """
    seen = observed(run, name)
    [row] = _rows_of(seen, [example])
    cells = row, np.flatnonzero(seen.is_observed[row])
    event = np.full(len(cells[1]), None, np.object_)
    if seen.correct is not None:
        events = learning(seen.correct)
        event[events.is_learned[cells]] = "learned"
        event[events.is_forgotten[cells]] = "forgotten"
    fields = {"step": pa.array(seen.step[cells[1]], pa.int64()), **_values(seen, cells)}
    return pa.table(fields | {"event": pa.array(event.tolist(), pa.string())})


def histogram(
    run: RunReader | Observed, name: str | None = None, *, step: int | None = None
) -> pa.Table:
    """How often each class is predicted, and is the target, at one step (the last when None).

    Columns: `class`, `predicted`, `target` (counts, over the examples whose prediction is known).
    No rows where predictions are no classes. Raises as `pairs` and `read`.
    """
    seen = observed(run, name)
    column = place_of(seen, step)
    given = np.zeros(0, np.int64)
    wanted: Ints | None = None
    if seen.prediction is not None and seen.has_classes and len(seen.step):
        is_known = seen.prediction.known[:, column]
        given = seen.prediction.values[is_known, column]
        wanted = None if seen.label is None else seen.label[is_known]
    every = given if wanted is None else np.concatenate([given, wanted[wanted >= 0]])
    classes = np.unique(every)
    counts = _counts(classes, given)
    expected = nothing(pa.int64(), len(classes))
    if wanted is not None:
        expected = pa.array(_counts(classes, wanted[wanted >= 0]))
    return pa.table({"class": classes, "predicted": counts, "target": expected})


def place_of(seen: Observed, step: int | None) -> int:
    """The place of a step among those observed; raises `MisuseError`, naming the nearest ones."""
    if not len(seen.step):
        if step is None:
            return 0
        raise MisuseError(f"chosen set {seen.name!r} was never observed")
    if step is None:
        return len(seen.step) - 1
    place = int(np.searchsorted(seen.step, step))
    if place < len(seen.step) and seen.step[place] == step:
        return place
    near = [str(at) for at in seen.step[max(0, place - 1) : place + 1]]
    raise MisuseError(
        f"chosen set {seen.name!r} was not observed at step {step}; nearest: {' and '.join(near)}"
    )


def _rows_of(seen: Observed, examples: Sequence[int]) -> Ints:
    known = {int(example): row for row, example in enumerate(seen.example)}
    missing = [example for example in examples if example not in known]
    if missing:
        raise MisuseError(
            f"chosen set {seen.name!r} has no example {missing[0]}; "
            f"it has {len(known)}, from {min(known, default=0)} to {max(known, default=0)}"
        )
    return np.array([known[example] for example in examples], np.int64)


def _counts(classes: Ints, values: Ints) -> Ints:
    return np.bincount(np.searchsorted(classes, values), minlength=len(classes))


def _pairs(seen: Observed, rows: Ints, column: int) -> pa.Table:
    n, at = len(rows), pa.array(rows)
    has_steps = bool(len(seen.step))
    step = seen.step[[column] * n] if has_steps else np.zeros(n, np.int64)
    index = nothing(pa.int64(), len(seen.example))
    if "index" in seen.inputs.column_names:
        row = pa.array(seen.input_row, mask=seen.input_row < 0)
        index = seen.inputs.column("index").combine_chunks().take(row)
    output = seen.output_at(column) if has_steps else None
    return pa.table(
        {
            "step": known(step, np.full(n, has_steps), pa.int64()),
            "example": pa.array(seen.example[rows], pa.int32()),
            "index": index.take(at),
            "target": targets(seen).take(at),
            **_values(seen, (rows, np.full(n, column))),
            "output": nothing(pa.float32(), n) if output is None else output.take(at),
        }
    )


def _values(seen: Observed, cells: tuple[Any, Any]) -> dict[str, pa.Array]:
    """What is known of some cells, null where nothing is."""
    n = len(cells[1])
    scores, apart = seen.scores, seen.residuals

    def of(grid: Grid | None, kind: Any) -> pa.Array:
        if grid is None or not grid.known.shape[1]:
            return nothing(kind, n)
        return known(grid.values[cells], grid.known[cells]).cast(kind)

    return {
        "loss": of(seen.loss, pa.float64()),
        "prediction": of(seen.prediction if seen.has_classes else None, pa.int64()),
        "is_right": of(seen.correct, pa.bool_()),
        "probability": of(seen.grid(scores.top) if scores else None, pa.float64()),
        "confidence": of(seen.confidence, pa.float64()),
        "error": of(seen.grid(apart.error) if apart else None, pa.float64()),
    }
