"""One row a step: what the whole set looked like when it was observed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from labbook.dynamics.arrow import choice, floats, known, nothing, whole
from labbook.dynamics.calibration import calibration_error
from labbook.dynamics.collapse import predicted
from labbook.dynamics.columns import Bools, Floats
from labbook.dynamics.grid import Grid
from labbook.dynamics.learning import changes, learning
from labbook.dynamics.losses import QUARTILES, rank
from labbook.dynamics.observed import Observed, observed

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["steps"]

_QUARTILES = ("min", "q1", "median", "q3", "max")


def steps(run: RunReader | Observed, name: str | None = None) -> pa.Table:
    """Measure the whole set at each observation, one row a step.

    `run` and `name` as in `examples`. All columns are always there, null where there is nothing to
    compute them from:

    - `step`, `time`, `n_observed` (examples with any row).
    - `n_loss`, `n_nonfinite`, and of the finite ones `mean_loss`, `min_loss`, `q1_loss`,
      `median_loss`, `q3_loss`, `max_loss` with the examples that have them: `min_example` and so
      on. Each is some example's loss: see `losses.Ranked.at`.
    - `accuracy` (share of right ones), `n_learned`, `n_forgotten` (events at this step, see
      `learning`), `confidence` (mean probability of the target's class).
    - `agreement`: share of predictions that equal the same example's previous one.
    - `top_class`, `top_share`, `n_classes`, `total_variation`: see `collapse.Predicted`.
    - `calibration_error`: see `calibration`.
    - `error` (root mean square over examples of the output less the target), `bias` (its mean),
      `r_squared` (1 - Σ(output - target)² / Σ(target - mean target)², of single numbers): where
      both are real numbers.
    - `output_change` (mean over examples of the root mean square difference to the previous
      output), `output_variance` (over the examples, summed over the values of an output: near 0
      when all examples get one answer).

    Raises as `read`.
    """
    seen = observed(run, name)
    return pa.table(
        {
            "step": pa.array(seen.step, pa.int64()),
            "time": seen.time,
            "n_observed": pa.array(seen.is_observed.sum(axis=0), pa.int64()),
            **_losses(seen),
            **_learning(seen),
            **_predictions(seen),
            "calibration_error": _calibration(seen),
            **_errors(seen),
            **_outputs(seen),
        }
    )


def _losses(seen: Observed) -> dict[str, pa.Array]:
    n = len(seen.step)
    fields: dict[str, pa.Array] = {}
    if seen.loss is None:
        fields = dict.fromkeys(("n_loss", "n_nonfinite"), nothing(pa.int64(), n))
        fields["mean_loss"] = nothing(pa.float64(), n)
        for word in _QUARTILES:
            fields[f"{word}_loss"] = nothing(pa.float64(), n)
        for word in _QUARTILES:
            fields[f"{word}_example"] = nothing(pa.int64(), n)
        return fields
    values, n_loss = seen.loss.values, seen.loss.known.sum(axis=0)
    is_finite = seen.loss.known & np.isfinite(values)
    fields["n_loss"] = pa.array(n_loss, pa.int64())
    fields["n_nonfinite"] = pa.array(n_loss - is_finite.sum(axis=0), pa.int64())
    fields["mean_loss"] = floats(_mean(values, is_finite))
    ranked = rank(seen.loss)
    places = {word: ranked.at(share) for word, share in zip(_QUARTILES, QUARTILES, strict=True)}
    for word, place in places.items():
        at = values[place, np.arange(n)] if len(values) else np.zeros(n)
        fields[f"{word}_loss"] = known(at, place >= 0)
    for word, place in places.items():
        fields[f"{word}_example"] = choice(seen.example, place)
    return fields


def _learning(seen: Observed) -> dict[str, pa.Array]:
    n, correct, confidence = len(seen.step), seen.correct, seen.confidence
    fields = {
        "accuracy": nothing(pa.float64(), n),
        "n_learned": nothing(pa.int64(), n),
        "n_forgotten": nothing(pa.int64(), n),
        "confidence": nothing(pa.float64(), n),
    }
    if correct is not None:
        found = learning(correct)
        is_known = correct.has_any_at
        fields["accuracy"] = floats(_mean(correct.values, correct.known))
        fields["n_learned"] = known(found.is_learned.sum(axis=0), is_known)
        fields["n_forgotten"] = known(found.is_forgotten.sum(axis=0), is_known)
    if confidence is not None:
        fields["confidence"] = floats(_mean(confidence.values, confidence.known))
    return fields


def _predictions(seen: Observed) -> dict[str, pa.Array]:
    n = len(seen.step)
    fields = {
        "agreement": nothing(pa.float64(), n),
        "top_class": nothing(pa.int64(), n),
        "top_share": nothing(pa.float64(), n),
        "n_classes": nothing(pa.int64(), n),
        "total_variation": nothing(pa.float64(), n),
    }
    if seen.prediction is None:
        return fields
    has_changed, has_earlier = changes(seen.prediction)
    fields["agreement"] = floats(_mean(~has_changed, has_earlier))
    if seen.has_classes:
        found = predicted(seen.prediction, seen.label)
        fields["top_class"] = known(found.top_class, found.n_classes > 0)
        fields["top_share"] = floats(found.top_share)
        fields["n_classes"] = whole(found.n_classes)
        fields["total_variation"] = floats(found.total_variation)
    return fields


def _calibration(seen: Observed) -> pa.Array:
    if seen.scores is None or seen.label is None:
        return nothing(pa.float64(), len(seen.step))
    # of the highest score, whatever else the run recorded as its prediction
    prediction, top = seen.grid(seen.scores.prediction), seen.grid(seen.scores.top)
    is_right = (prediction.values == seen.label[:, None]).astype(np.int64)
    right = Grid(is_right, prediction.known & (seen.label >= 0)[:, None])
    return floats(calibration_error(top, right))


def _errors(seen: Observed) -> dict[str, pa.Array]:
    if seen.residuals is None or seen.target is None:
        return dict.fromkeys(("error", "bias", "r_squared"), nothing(pa.float64(), len(seen.step)))
    error, mean = seen.grid(seen.residuals.error), seen.grid(seen.residuals.mean)
    squares = _mean(error.values**2, error.known)
    is_known = error.has_any_at
    fields = {
        "error": known(np.sqrt(squares), is_known),
        "bias": known(_mean(mean.values, mean.known), is_known),
    }
    r_squared = np.full(len(seen.step), np.nan)
    if seen.target.shape[1] == 1:
        target = np.broadcast_to(seen.target, error.known.shape)
        apart = np.where(error.known, target - _mean(target, error.known), 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            r_squared = 1 - squares / ((apart**2).sum(axis=0) / error.known.sum(axis=0))
        r_squared[~np.isfinite(r_squared)] = np.nan
    return fields | {"r_squared": floats(r_squared)}


def _outputs(seen: Observed) -> dict[str, pa.Array]:
    if seen.spread is None:
        missing = nothing(pa.float64(), len(seen.step))
        return {"output_change": missing, "output_variance": missing}
    change = seen.grid(seen.spread.change)
    return {
        "output_change": known(_mean(change.values, change.known), change.has_any_at),
        "output_variance": known(seen.spread.variance, seen.spread.n > 0),
    }


def _mean(values: Floats | Bools, is_known: Bools) -> Floats:
    """The mean over the examples, (steps,); NaN where none is known."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean: Floats = np.where(is_known, values, 0).sum(axis=0) / is_known.sum(axis=0)
    return mean
