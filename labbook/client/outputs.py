"""The columns of one observation, gathered batch by batch.

`output` float32, the model's output; or what `choose(keep=)` makes of it:

    keep="topK"    top_values float32, top_indices int32 (…, K), highest first; logsumexp float32
    keep="argmax"  prediction int64 (examples,), int32 where there is one for each position
    keep="stats"   output_mean, _std, _min, _max float32, output_nonfinite int64
    a function     `output`, or a column for each name of the mapping it returns

and, where the target is a class, `prediction` int64 and `correct` bool; where it is a class for
each position (segmentation, sequences) and a summary is kept, `accuracy` float32: the share of
positions that are right, of those whose target is a class.

A list with one tensor, or one mapping of tensors, for each example (detection) becomes ragged
columns, named as in the mappings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from labbook.client.batches import is_one_each, main_output
from labbook.client.columns import Column, column, ragged_column, rounded
from labbook.client.keeping import Keeping, class_axis, kept
from labbook.errors import MisuseError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OBSERVATION_BYTES", "Outputs"]

OBSERVATION_BYTES: Final = 64 << 20
"""An output that takes more in one observation is not recorded; its loss and prediction are."""

_EXACT: Final = frozenset({"loss", "logsumexp", "accuracy"})  # small beside what is rounded

_OWN: Final = frozenset({"loss", "prediction", "correct", "accuracy"})


class Outputs:
    """Gathers what is recorded of `n` examples."""

    def __init__(self, n: int, how: Keeping) -> None:
        self.left_out: str | None = None
        """Why some output was not recorded."""
        self._n = n
        self._how = how
        self._parts: dict[str, list[Any]] = {"loss": []}
        self._truths: list[Tensor] = []
        self._n_classes = 0
        self._was_one_each = False
        self._dropped: set[str] = set()
        self._bytes = 0

    def add_losses(self, losses: Tensor) -> None:
        """Add one loss for each example of a batch."""
        self._parts["loss"].append(losses.float())

    def add(self, output: Any, truth: Any, n: int) -> None:
        """Add the output of a batch of `n` examples; `truth` is their target, or None.

        Raises `MisuseError` when the output's first axis does not count the examples.
        """
        how = self._how
        scores = None if self._is_one_each(output, n) else main_output(output)
        axis = None if scores is None else class_axis(scores, truth)
        if callable(how.what):
            self._add_all(how.what(output), n)
        elif scores is None:
            self._add_all(output, n)
        elif scores.is_complex():
            self.left_out = "the model's output is complex"
        else:
            _check(scores, n)
            self._add_scores(scores.detach(), axis)
        if scores is not None and axis is not None and scores.shape[0] == n:
            self._add_prediction(scores.detach(), truth, axis)

    def columns(self) -> list[Column]:
        """Return what is known of every example."""
        columns = []
        self._add_correct()
        for name, parts in self._parts.items():
            if sum(map(len, parts)) == self._n:
                made = self._column(name, parts)
                is_rounded = self._how.is_rounded and name not in _EXACT
                columns.append(rounded(made) if is_rounded else made)
        return columns

    def _column(self, name: str, parts: list[Any]) -> Column:
        import torch

        if isinstance(parts[0], list) or len({part.shape[1:] for part in parts}) > 1:
            return ragged_column(name, [row for part in parts for row in part], self._n)
        is_small = name == "top_indices" or (name == "prediction" and parts[0].ndim > 1)
        return column(name, torch.cat(parts), self._n, "<i4" if is_small else None)

    def _add_scores(self, scores: Tensor, axis: int | None) -> None:
        named = {"output": scores} if self._how.what is None else kept(scores, self._how, axis)
        for name, values in named.items():
            self._keep(name, values, len(scores))

    def _add_all(self, output: Any, n: int) -> None:
        """Add every tensor of an output that is a mapping, or a list of one thing an example."""
        if self._is_one_each(output, n):
            is_named = isinstance(output[0], Mapping)
            names = output[0] if is_named else ["output"]
            for name in map(_free, names):
                self._keep(name, [each[name] if is_named else each for each in output], n)
            return
        named = output if isinstance(output, Mapping) else {"output": main_output(output)}
        found = {name: values for name, values in named.items() if hasattr(values, "detach")}
        if not found:
            self.left_out = "the model's output holds no tensor"
        for name, values in found.items():
            _check(values, n)
            self._keep(_free(name), values, n)

    def _is_one_each(self, output: Any, n: int) -> bool:
        """See `is_one_each`; what earlier batches were settles what could be both."""
        if not self._was_one_each:
            self._was_one_each = is_one_each(output, n)
            return self._was_one_each
        return isinstance(output, list) and len(output) == n

    def _keep(self, name: str, values: Any, n: int) -> None:
        """Add a tensor of a batch, or a list of one for each example, if all of them fit."""
        if name in self._dropped:
            return
        if isinstance(values, list):
            values = [value.detach() for value in values]
            n_values = sum(value.numel() for value in values)
        else:
            values = values.detach()
            values = values.float() if values.is_floating_point() else values
            n_values = values.numel()
        self._bytes += 4 * n_values
        if max(self._bytes, 4 * n_values * self._n // n) <= OBSERVATION_BYTES:
            self._parts.setdefault(name, []).append(values)
            return
        self._parts.pop(name, None)
        self._dropped.add(name)
        self.left_out = (
            f"the model's {name} has {n_values // n:,} values an example, more than "
            f"{OBSERVATION_BYTES >> 20} MiB for {self._n:,} examples, and is not recorded; "
            'choose(keep="top5"), "argmax", "stats" or a function records less'
        )

    def _add_prediction(self, scores: Tensor, truth: Tensor, axis: int) -> None:
        """Add the class with the highest score, or where there are many how often it is right."""
        if scores.ndim == 2:
            if self._how.what != "argmax":
                self._parts.setdefault("prediction", []).append(scores.argmax(1))
            self._truths.append(truth)
            self._n_classes = scores.shape[1]
        elif self._how.what is not None:  # else the output is kept: a class for each is in it
            is_class = (truth >= 0) & (truth < scores.shape[axis])
            right = ((scores.argmax(axis) == truth) & is_class).flatten(1).sum(1)
            self._parts.setdefault("accuracy", []).append(right / is_class.flatten(1).sum(1))

    def _add_correct(self) -> None:
        """Add whether the predictions are right, where every target is a class."""
        import torch

        predictions = self._parts.get("prediction", [])
        if not self._truths or len(self._truths) != len(predictions):
            return
        truth = torch.cat(self._truths)
        if bool(((truth >= 0) & (truth < self._n_classes)).all()):
            self._parts["correct"] = [torch.cat(predictions) == truth]


def _free(name: Any) -> str:
    """A name for a column of the user's own, if it is free."""
    if name in _OWN:
        raise MisuseError(
            f"the model's output, or what choose(keep=) makes of it, has a column {name!r}, which "
            "labbook records itself; give it another name in choose(keep=) or choose(forward=)"
        )
    return str(name)


def _check(values: Any, n: int) -> None:
    shape = tuple(values.shape)
    if not shape or shape[0] != n:
        raise MisuseError(
            f"the model's output has shape {shape} for {n} examples; its first axis "
            "must count them. choose(forward=lambda model, batch: …) returns what to record"
        )
