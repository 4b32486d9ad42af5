"""One row an example: how its loss, prediction and correctness went over the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from labbook.dynamics.arrow import choice, floats, known, nothing, whole
from labbook.dynamics.cartography import moments, regions
from labbook.dynamics.learning import changes, learning
from labbook.dynamics.losses import far_out, first_and_last, suspects
from labbook.dynamics.observed import Observed, observed

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["examples", "targets"]


def examples(run: RunReader | Observed, name: str | None = None) -> pa.Table:
    """Measure each example of a chosen set over all its observations, one row each.

    `run`: a reader, or what `read` made of one; `name` as in `read`. All columns are always there,
    and null where the run recorded nothing to compute them from:

    - `example`, `index` (place in the data), `target` (as recorded), `n_observed`.
    - `first_loss`, `last_loss`: as recorded, NaN and infinity too; `min_loss`, `max_loss`,
      `mean_loss`: of the finite ones; `n_nonfinite` counts the rest.
    - `suspect_rank`: by mean loss, 1 the greatest; `is_far_out`: see `losses.far_out`.
    - `first_correct`, `stays_correct_from` (steps), `forgettings`, `status`, `is_right_last`,
      `correctness`: see `learning.Learning`.
    - `last_prediction`, `n_changes` (observations that predict another class than the one before).
    - `confidence`, `variability`, `region`: see `cartography`.
    - `first_error`, `last_error`, `mean_error`, `error_variability`: the same of the root mean
      square of output less target, where both are real numbers.

    Raises as `read`.
    """
    seen = observed(run, name)
    fields: dict[str, pa.Array] = {
        "example": pa.array(seen.example, pa.int32()),
        "index": _input(seen, "index", pa.int64()),
        "target": targets(seen),
        "n_observed": pa.array(seen.is_observed.sum(axis=1), pa.int64()),
        **_losses(seen),
        **_learning(seen),
        **_predictions(seen),
        **_map(seen),
        **_errors(seen),
    }
    return pa.table(fields)


def targets(seen: Observed) -> pa.Array:
    """The target of each example as it was recorded: a number, a list of them, or text."""
    texts = seen.about.get("target_texts")
    if isinstance(texts, list) and len(texts) == seen.inputs.num_rows:
        every = [None if text is None else str(text) for text in [*texts, None]]
        return pa.array([every[row] for row in seen.input_row], pa.string())
    return _input(seen, "target", pa.int64())


def _input(seen: Observed, name: str, kind: Any) -> pa.Array:
    """A column of the inputs, an entry an example; nulls of `kind` when there is none."""
    if name not in seen.inputs.column_names:
        return nothing(kind, len(seen.example))
    row = pa.array(seen.input_row, mask=seen.input_row < 0)
    return seen.inputs.column(name).combine_chunks().take(row)


def _losses(seen: Observed) -> dict[str, pa.Array]:
    n = len(seen.example)
    loss = seen.loss
    if loss is None:
        missing = nothing(pa.float64(), n)
        names = ("first_loss", "last_loss", "min_loss", "max_loss", "mean_loss")
        whole_number = nothing(pa.int64(), n)
        return dict.fromkeys(names, missing) | {
            "n_nonfinite": whole_number,
            "suspect_rank": whole_number,
            "is_far_out": nothing(pa.bool_(), n),
        }
    first, last, has = first_and_last(loss)
    mean, _ = moments(loss)
    is_finite = loss.known & np.isfinite(loss.values)
    has_finite = is_finite.any(axis=1)
    least = np.where(is_finite, loss.values, np.inf).min(axis=1, initial=np.inf)
    most = np.where(is_finite, loss.values, -np.inf).max(axis=1, initial=-np.inf)
    return {
        "first_loss": known(first, has),
        "last_loss": known(last, has),
        "min_loss": known(least, has_finite),
        "max_loss": known(most, has_finite),
        "mean_loss": floats(mean),
        "n_nonfinite": known((loss.known & ~is_finite).sum(axis=1), has),
        "suspect_rank": whole(suspects(mean), 1),
        "is_far_out": known(far_out(mean), has_finite),
    }


def _learning(seen: Observed) -> dict[str, pa.Array]:
    n = len(seen.example)
    if seen.correct is None:
        return {
            "first_correct": nothing(pa.int64(), n),
            "stays_correct_from": nothing(pa.int64(), n),
            "forgettings": nothing(pa.int64(), n),
            "status": nothing(pa.string(), n),
            "is_right_last": nothing(pa.bool_(), n),
            "correctness": nothing(pa.float64(), n),
        }
    found = learning(seen.correct)
    return {
        "first_correct": choice(seen.step, found.first_correct),
        "stays_correct_from": choice(seen.step, found.stays_correct_from),
        "forgettings": known(found.forgettings, seen.correct.has_any),
        "status": pa.array(found.status.tolist(), pa.string()),
        "is_right_last": pa.array(found.is_right_last.tolist(), pa.bool_()),
        "correctness": floats(found.correctness),
    }


def _predictions(seen: Observed) -> dict[str, pa.Array]:
    n, prediction = len(seen.example), seen.prediction
    if prediction is None:
        return dict.fromkeys(("last_prediction", "n_changes"), nothing(pa.int64(), n))
    _, last, has = first_and_last(prediction)
    has_changed, _ = changes(prediction)
    return {
        "last_prediction": known(last, has & seen.has_classes),
        "n_changes": known(has_changed.sum(axis=1), has),
    }


def _map(seen: Observed) -> dict[str, pa.Array]:
    n = len(seen.example)
    if seen.confidence is None:
        missing = dict.fromkeys(("confidence", "variability"), nothing(pa.float64(), n))
        return missing | {"region": nothing(pa.string(), n)}
    confidence, variability = moments(seen.confidence)
    region = regions(confidence, variability, len(seen.step))
    return {
        "confidence": floats(confidence),
        "variability": floats(variability),
        "region": pa.array(region.tolist(), pa.string()),
    }


def _errors(seen: Observed) -> dict[str, pa.Array]:
    names = ("first_error", "last_error", "mean_error", "error_variability")
    if seen.residuals is None:
        return dict.fromkeys(names, nothing(pa.float64(), len(seen.example)))
    grid = seen.grid(seen.residuals.error)
    first, last, has = first_and_last(grid)
    mean, variability = moments(grid)
    columns = known(first, has), known(last, has), floats(mean), floats(variability)
    return dict(zip(names, columns, strict=True))
