"""Classes of very different sizes; a warning only where a class is never predicted."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.losses import loss_calls
from labbook.checks.passes import class_labels, place_of_data, train_pass
from labbook.checks.rule import Cannot, Limits, Rule

if TYPE_CHECKING:
    from torch import Tensor, nn

_STEPS = 600
_SECONDS = 6.0
_RARE = 10
"""Examples that a class must have for its recall to say something."""

IMBALANCE = Rule(
    "data/imbalance",
    kind="probe",
    stage="data",
    says="some classes are much rarer than others",
    formula="n >= 30 * classes and largest / smallest class > ratio: note. Warn when a copy, "
    "trained with an unweighted loss until it falls no more (≤ 600 steps), ranks the examples of a "
    "class (10 or more) above others, area under ROC > auc, but predicts it for none",
    limits={"ratio": 10.0, "auc": 0.6},
    needs=("loader",),
    follows=("data/labels-constant", "data/label-wrap", "loss/*", "data/nonfinite"),
    advice="histogram targets to see range and imbalance",
    causes=("the task is so: weigh the loss or sample by class, and report recall by class",),
    fix="CrossEntropyLoss(weight=…), BCEWithLogitsLoss(pos_weight=n_negative / n_positive)",
    false_positives="long tails that are the task: a note alone",
    source="SageMaker Debugger ClassImbalance: ratio 10",
)


@IMBALANCE.on_subject
def imbalance(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Count, and train a copy where it is out of balance."""
    import torch

    seen = bench.shared(train_pass)
    labels = class_labels(seen)
    if labels is None:
        raise Cannot("targets are no class labels")
    classes, counts = torch.unique(labels, return_counts=True)
    if len(classes) < 2 or len(labels) < 30 * len(classes):
        raise Cannot("too few examples of each class")
    ratio = float(counts.max() / counts.min())
    if ratio <= limits["ratio"]:
        return
    rarest = int(classes[counts.argmin()])
    never = _never_predicted(bench, labels, classes[counts >= _RARE], limits["auc"])
    say = IMBALANCE.warn if never else IMBALANCE.note
    yield say(
        value=round(ratio, 1),
        limit=limits["ratio"],
        where=place_of_data(bench, "loader"),
        evidence=f"class {rarest} has {int(counts.min())} of {len(labels)} examples, the largest "
        f"{ratio:.0f} times as many"
        + (f"; a trained copy never predicts {', '.join(map(str, never))}" if never else ""),
    )


def _never_predicted(bench: Bench, labels: Tensor, classes: Tensor, auc: float) -> list[int]:
    """Classes that a settled copy ranks but gives to none; empty where nothing can be said."""
    try:
        if _is_weighted(bench) or bench.task not in {"classification", "binary"}:
            return []
        model = bench.model()
        if not _settled(bench, model):
            return []
        scores = _scores(bench, model)
    except Cannot:
        return []
    is_fit = len(scores) == len(labels) and int(labels.max()) < scores.shape[1]
    if not is_fit:
        return []
    found = scores.argmax(1)
    never = [int(c) for c in classes if not bool((found == c).any())]
    return [c for c in never if _area(scores[:, c], labels == c) > auc]


def _area(scores: Tensor, is_class: Tensor) -> float:
    """Under the ROC curve, ties by the order of examples."""
    ranks = scores.argsort().argsort().double()
    n, others = int(is_class.sum()), int((~is_class).sum())
    return (float(ranks[is_class].sum()) - n * (n - 1) / 2) / max(1, n * others)


def _is_weighted(bench: Bench) -> bool:
    calls = bench.shared(loss_calls)
    return any(c.kwargs.get(n) is not None for c in calls for n in ("weight", "pos_weight"))


def _settled(bench: Bench, model: nn.Module) -> bool:
    """Train; whether the loss ended flat."""
    optimizer = bench.optimizer(model)
    losses: list[float] = []
    ends = time.monotonic() + _SECONDS
    epoch = 0
    while len(losses) < _STEPS:
        before = len(losses)
        for batch in bench.stream("loader", epoch):
            losses.append(bench.step(model, optimizer, batch))
            if len(losses) >= _STEPS or time.monotonic() > ends:
                break
        epoch += 1
        if len(losses) == before or time.monotonic() > ends:
            break
    third = len(losses) // 3
    if third < 10 or not all(map(math.isfinite, losses)):
        return False
    first = sum(losses[:5]) / 5
    middle, last = (sum(part) / third for part in (losses[third : 2 * third], losses[-third:]))
    return middle - last < 0.05 * abs(first - last)


def _scores(bench: Bench, model: nn.Module) -> Tensor:
    """(examples, classes): of each class against the best of the others."""
    import torch

    model.eval()
    found = []
    with torch.no_grad():
        for batch in bench.shared(train_pass).batches:
            bench.tick()
            output = bench.tensor(bench.forward(model, batch)).reshape(batch.n, -1)
            if output.shape[1] == 1:
                output = torch.cat([torch.zeros_like(output), output], 1)
            best = output.topk(2, dim=1)
            is_best = output == best.values[:, :1]
            rest = torch.where(is_best, best.values[:, 1:], best.values[:, :1])
            found.append((output - rest).cpu())
    return torch.cat(found)
