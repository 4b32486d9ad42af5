"""The common case ready-made: a classifier over a labelled dataset.

    import labbook
    from train import digits, network
    validation = labbook.evaluation.classification(digits()[1], lambda args: network(args.width))

`dataset` has `(input, …, label)` or mappings with `label` or `labels`, or is a function of the
run's arguments that returns one; `build` is a function of the arguments that returns the model.
A model gets the inputs of a tuple in order, those of a mapping by name; its output is the logits
`(N, classes)`, alone, under `logits`, or first in a tuple. Labels are class indices `(N,)`.

A row has `loss` (cross entropy), `accuracy` (whether the largest logit is the label's), `label`,
`prediction` and `confidence` (the softmax probability of the prediction), and with `outputs=True`
the logits. Metrics: the means of loss and accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labbook.errors import EvaluationError, MisuseError
from labbook.watch.context import Arguments, Context

__all__ = ["METRICS", "classification"]

METRICS = ("loss", "accuracy")

_LABELS = ("label", "labels")


def classification(dataset: Any, build: Callable[[Arguments], Any], *, outputs: bool) -> type:
    """Return the class; `labbook.evaluation.classification` marks it."""
    # a model is callable too, but calling it makes no model
    if not callable(build) or hasattr(build, "state_dict"):
        raise MisuseError(
            "classification(dataset, build): build must be a function of the run's arguments that "
            f"returns the model, as in `lambda args: network(args.width)`; got a "
            f"{type(build).__name__}"
        )

    class Classification:
        def setup(self, context: Context) -> Any:
            return build(context.args)

        def data(self, context: Context) -> Any:
            is_made = not hasattr(dataset, "__getitem__") and callable(dataset)
            return dataset(context.args) if is_made else dataset

        def step(self, context: Context, batch: Any) -> dict[str, Any]:
            return _columns(context.model, batch, outputs)

    return Classification


def _columns(model: Any, batch: Any, outputs: bool) -> dict[str, Any]:
    from torch.nn import functional

    logits, labels = _logits_and_labels(model, batch)
    if logits.ndim != 2 or labels.ndim != 1 or labels.is_floating_point():
        raise EvaluationError(
            f"classification: logits of shape {tuple(logits.shape)} and labels of shape "
            f"{tuple(labels.shape)}, {labels.dtype}; it takes logits (N, classes) and class "
            "indices (N,). For anything else write a class with step()"
        )
    shares = logits.float().softmax(1)
    confidence, prediction = shares.max(1)
    columns = {
        "loss": functional.cross_entropy(logits.float(), labels, reduction="none"),
        "accuracy": prediction == labels,
        "label": labels,
        "prediction": prediction,
        "confidence": confidence,
    }
    return {**columns, "output": logits} if outputs else columns


def _logits_and_labels(model: Any, batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, Mapping):
        name = next((name for name in _LABELS if name in batch), None)
        if name is None:
            raise EvaluationError(
                f"classification: the examples have no 'label' or 'labels', but "
                f"{', '.join(map(str, batch))}; write a class with step()"
            )
        found = model(**{key: value for key, value in batch.items() if key != name})
        labels = batch[name]
    elif isinstance(batch, tuple | list) and len(batch) > 1:
        found, labels = model(*batch[:-1]), batch[-1]
    else:
        raise EvaluationError(
            f"classification: a batch is a {type(batch).__name__}; each example must be "
            "(input, label) or a mapping with 'label'. For anything else write a class with step()"
        )
    found = getattr(found, "logits", found)
    if isinstance(found, Mapping):
        found = found["logits"]
    return (found[0] if isinstance(found, tuple | list) else found), labels
