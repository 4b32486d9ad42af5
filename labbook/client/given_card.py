"""The data card as it grows: what one model was given, in training and in evaluation apart.

Invariant: only what was counted is described, and it is said how much that is of what was given.
Used by one thread at a time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, Final

from labbook.client.digest import example_digest
from labbook.client.given_examples import few_examples
from labbook.client.given_leaves import Copy
from labbook.client.given_statistics import Examples, Features, Pooled

__all__ = ["InputCard", "Section", "TargetCard", "as_numbers"]

_MOST_SHAPES: Final = 16
_DIGESTED: Final = 8
"""Batches whose digests are kept."""


class InputCard:
    """One input of the model over the batches."""

    def __init__(self) -> None:
        self.dtypes: Counter[str] = Counter()
        self.devices: Counter[str] = Counter()
        self.shapes: Counter[tuple[int, ...]] = Counter()
        self.n_given = self.n_counted = 0
        self.reasons: Counter[str] = Counter()
        self.pooled = Pooled()
        self.features = Features()
        self.each = Examples()
        self.digests: list[str | None] = []
        self.few: dict[str, Any] | None = None

    def add(self, copy: Copy) -> None:
        """Add one batch's copy."""
        self.dtypes[copy.dtype] += 1
        self.devices[copy.device] += 1
        self.shapes[copy.shape] += 1
        self.n_given += copy.shape[0] if copy.shape else 1
        if copy.values is None:
            self.reasons[copy.reason or "not read"] += 1
            return
        self.n_counted += len(copy.values) if copy.shape else 1
        values = as_numbers(copy.values)
        self.pooled.add(values)
        if copy.shape:
            self._add_examples(copy, values)
        if len(self.digests) < _DIGESTED:
            digest = example_digest(copy.values)
            self.digests.append(digest.hex()[:16] if digest else None)

    def _add_examples(self, copy: Copy, values: Any) -> None:
        self.features.add(values)
        self.each.add(values)
        if self.few is None and len(copy.values):
            self.few = few_examples(copy.values)

    def as_json(self) -> dict[str, Any]:
        """All that is known."""
        return {
            "dtypes": dict(self.dtypes),
            "devices": dict(self.devices),
            "shapes": [[list(s), n] for s, n in self.shapes.most_common(_MOST_SHAPES)],
            "n_shapes": len(self.shapes),
            "examples_given": self.n_given,
            "examples_counted": self.n_counted,
            "reasons": dict(self.reasons),
            **self.pooled.as_json(),
            "features": self.features.as_json(),
            "examples": self.each.as_json(),
            "batch_digests": self.digests,
            "few": self.few,
        }


class TargetCard(InputCard):
    """The targets; of one number an example, also how like its neighbour each is.

    `neighbours` tells an unshuffled loader: pairs of adjacent targets, how many of them are equal,
    and the sums behind their correlation, all within batches.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pairs = self._equal = 0

    def add(self, copy: Copy) -> None:
        """Add one batch's targets."""
        super().add(copy)
        if copy.values is not None and len(copy.shape) == 1:
            values = as_numbers(copy.values)
            self._pairs += max(len(values) - 1, 0)
            self._equal += int((values[1:] == values[:-1]).sum())

    def as_json(self) -> dict[str, Any]:
        """All that is known."""
        return {**super().as_json(), "neighbours": {"pairs": self._pairs, "equal": self._equal}}


class Section:
    """The forward passes in one mode of the model."""

    def __init__(self) -> None:
        self.n_batches = 0
        self.n_examples = 0
        self.n_bytes = 0
        self.n_targets = 0
        self.n_described = self.n_examples_described = 0
        self.n_skipped = 0
        """Batches that came while too many were still waiting to be described."""
        self.inputs: dict[str, InputCard] = {}
        self.targets: dict[str, TargetCard] = {}
        self.targets_from: str | None = None
        self.others: dict[str, str] = {}
        """Arguments that are no tensors."""

    def add(self, inputs: list[Copy], targets: list[Copy]) -> None:
        """Add a batch."""
        if inputs:
            self.n_described += 1
            first = next((copy for copy in inputs if copy.shape), None)
            self.n_examples_described += first.shape[0] if first else 0
        for copy in inputs:
            self.inputs.setdefault(copy.name, InputCard()).add(copy)
        for copy in targets:
            self.targets.setdefault(copy.name, TargetCard()).add(copy)

    def as_json(self) -> dict[str, Any]:
        """All that is known."""
        return {
            "batches": self.n_described,
            "examples": self.n_examples_described,
            "batches_skipped": self.n_skipped,
            "inputs": {name: card.as_json() for name, card in self.inputs.items()},
            "others": dict(self.others),
            "targets": {name: card.as_json() for name, card in self.targets.items()},
            "targets_from": self.targets_from,
            "digest": self._digest(),
        }

    def _digest(self) -> str | None:
        """Of the first batches of all inputs: equal where two runs were given the same."""
        whole = hashlib.sha256()
        for name, card in self.inputs.items():
            if not card.digests or None in card.digests:
                return None
            whole.update(f"{name} {card.digests}\n".encode())
        return f"sha256:{whole.hexdigest()}" if self.inputs else None


def as_numbers(values: Any) -> Any:
    """A host tensor or array as a float64 array."""
    import numpy as np

    if hasattr(values, "detach"):
        values = (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values).astype(np.float64)
