"""The measures once more, in plain Python and as slow as their definitions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Cell = dict[str, Any]


@dataclass
class History:
    """Observations as step -> example -> {loss, output, prediction, correct}; absent: unknown."""

    n: int
    target: list[int]
    cells: dict[int, dict[int, Cell]] = field(default_factory=dict)

    def of(self, example: int, key: str) -> list[tuple[int, Any]]:
        """(step, value) of what is known of an example, by step."""
        return [
            (step, at[example][key])
            for step, at in sorted(self.cells.items())
            if key in at.get(example, {})
        ]

    def at(self, step: int, key: str) -> dict[int, Any]:
        """Example -> value of what is known at a step."""
        return {i: cell[key] for i, cell in sorted(self.cells[step].items()) if key in cell}

    def before(self, step: int, example: int, key: str) -> Any:
        """The last known value before a step, in a list; [] when there is none."""
        return [value for at, value in self.of(example, key) if at < step][-1:]


def softmax(scores: list[float]) -> list[float]:
    highest = max(scores)
    exponentials = [math.exp(x - highest) for x in scores]
    return [e / sum(exponentials) for e in exponentials]


def example_row(history: History, example: int) -> dict[str, Any]:
    losses = history.of(example, "loss")
    finite = [loss for _, loss in losses if math.isfinite(loss)]
    right = history.of(example, "correct")
    row: dict[str, Any] = {
        "n_observed": sum(example in at for at in history.cells.values()),
        "first_loss": losses[0][1] if losses else None,
        "last_loss": losses[-1][1] if losses else None,
        "min_loss": min(finite, default=None),
        "max_loss": max(finite, default=None),
        "mean_loss": math.fsum(finite) / len(finite) if finite else None,
        "n_nonfinite": len(losses) - len(finite) if losses else None,
        "first_correct": next((step for step, ok in right if ok), None),
        "stays_correct_from": _for_good(right),
        "forgettings": _forgettings(right),
        "is_right_last": right[-1][1] if right else None,
        "correctness": sum(ok for _, ok in right) / len(right) if right else None,
    }
    row["status"] = _status(row)
    predicted = [p for _, p in history.of(example, "prediction")]
    pairs = pairwise(predicted)
    row["n_changes"] = sum(a != b for a, b in pairs) if predicted else None
    row["last_prediction"] = predicted[-1] if predicted else None
    row["confidence"], row["variability"] = confidence(history, example)
    return row


def _for_good(right: list[tuple[int, bool]]) -> int | None:
    found = None
    for step, ok in reversed(right):
        if not ok:
            break
        found = step
    return found


def _forgettings(right: list[tuple[int, bool]]) -> int | None:
    flags = [ok for _, ok in right]
    events = sum(a and not b for a, b in pairwise(flags))
    return events if right else None


def _status(row: dict[str, Any]) -> str | None:
    if row["correctness"] is None:
        return None
    if row["first_correct"] is None:
        return "never learned"
    return "forgotten" if row["forgettings"] else "unforgettable"


def confidence(history: History, example: int) -> tuple[float | None, float | None]:
    if history.target[example] < 0:
        return None, None
    outputs = [output for _, output in history.of(example, "output")]
    found = [softmax(output)[history.target[example]] for output in outputs]
    if not found:
        return None, None
    mean = math.fsum(found) / len(found)
    return mean, math.sqrt(math.fsum((p - mean) ** 2 for p in found) / len(found))


def step_row(history: History, step: int) -> dict[str, Any]:
    losses = history.at(step, "loss")
    finite = {i: loss for i, loss in losses.items() if math.isfinite(loss)}
    right = history.at(step, "correct")
    predicted = history.at(step, "prediction")
    earlier = {i: history.before(step, i, "prediction") for i in predicted}
    same = [predicted[i] == old[0] for i, old in earlier.items() if old]
    was_right = {i: history.before(step, i, "correct") == [True] for i in right}
    row: dict[str, Any] = {
        "n_observed": len(history.cells[step]),
        "n_loss": len(losses),
        "n_nonfinite": len(losses) - len(finite),
        "mean_loss": math.fsum(finite.values()) / len(finite) if finite else None,
        "accuracy": sum(right.values()) / len(right) if right else None,
        "n_learned": sum(ok and not was_right[i] for i, ok in right.items()) if right else None,
        "n_forgotten": sum(not ok and was_right[i] for i, ok in right.items()) if right else None,
        "agreement": sum(same) / len(same) if same else None,
        **_predicted(history, predicted),
        "calibration_error": calibration_error(history, step),
    }
    for word, share in zip(("min", "q1", "median", "q3", "max"), (0, 1, 2, 3, 4), strict=True):
        row[f"{word}_example"], row[f"{word}_loss"] = quantile(finite, share)
    return row


def quantile(losses: dict[int, float], quarters: int) -> tuple[int | None, float | None]:
    """The least loss that a share of quarters / 4 does not exceed, and who has it first."""
    for loss in sorted(losses.values()):
        if 4 * sum(other <= loss for other in losses.values()) >= quarters * len(losses):
            return min(i for i, other in losses.items() if other == loss), loss
    return None, None


def _predicted(history: History, predicted: dict[int, int]) -> dict[str, Any]:
    counts = Counter(predicted.values())
    pairs = [(p, history.target[i]) for i, p in predicted.items() if history.target[i] >= 0]
    classes = {c for pair in pairs for c in pair}
    gaps = [abs(sum(p == c for p, _ in pairs) - sum(t == c for _, t in pairs)) for c in classes]
    top = min(counts, key=lambda c: (-counts[c], c), default=None)
    return {
        "top_class": top,
        "top_share": counts[top] / len(predicted) if predicted else None,
        "n_classes": len(counts) if predicted else None,
        "total_variation": sum(gaps) / (2 * len(pairs)) if pairs else None,
    }


def calibration_error(history: History, step: int, n_bins: int = 15) -> float | None:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for example, output in history.at(step, "output").items():
        target = history.target[example]
        if target >= 0:
            top = max(softmax(output))
            place = min(n_bins - 1, math.ceil(top * n_bins) - 1)
            bins.setdefault(place, []).append((top, output.index(max(output)) == target))
    n = sum(map(len, bins.values()))
    error = 0.0
    for found in bins.values():
        right = sum(ok for _, ok in found) / len(found)
        mean = sum(top for top, _ in found) / len(found)
        error += len(found) / n * abs(right - mean)
    return error if n else None
