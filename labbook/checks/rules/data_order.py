"""The order in which examples are delivered: mixed, and another one each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.passes import Pass, class_labels, given_x, is_dense, place_of_loader, train_pass
from labbook.checks.rule import Cannot, Limits, Rule

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_LEAST = 32
_MOST = 512
_BATCHES = 8
_PERMUTATIONS = 200

UNSHUFFLED = Rule(
    "data/unshuffled",
    kind="free",
    stage="data",
    says="examples are delivered in an order that goes with their targets",
    formula="labels of the first 8 batches (512 examples at least): "
    "z = (mean[y_i = y_i+1] - q) / sqrt(q (1-q) / (n-1)), q = sum p_c^2, and z of the classes' "
    "spread over batches against 200 permutations; fail when both > z, note when > note. Other "
    "targets: lag-1 autocorrelation * sqrt(n), a note",
    limits={"z": 5.0, "note": 3.0},
    needs=("loader",),
    advice="remember to shuffle",
    causes=(
        "shuffle=True is missing, and the data is sorted by class",
        "the shuffle buffer of a stream is small against a class's stretch",
    ),
    fix="DataLoader(dataset, batch_size, shuffle=True)",
    false_positives="curricula, time series, samplers that put several examples of a class into "
    "each batch for a contrastive loss",
    source="shuffled labels of 10 classes, n = 256: largest z of 5,000 draws 4.1; sorted 15.5",
)


@UNSHUFFLED.on_subject
def unshuffled(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare neighbours, and batches."""
    seen = bench.shared(train_pass)
    if len(seen.batches) < 2:
        raise Cannot("one batch holds all: its order does not matter")
    labels = class_labels(seen)
    if labels is None:
        yield from _unshuffled_numbers(bench, seen, limits)
        return
    sizes = _first_sizes(seen)
    y = labels[: sum(sizes)].numpy()
    if len(y) < _LEAST:
        raise Cannot(f"{len(y)} examples are too few to tell")
    z, share = _neighbours(y)
    between = _between(y, sizes, bench.seed)
    both = min(z, between)
    if both <= limits["note"]:
        return
    is_sure = both > limits["z"] and not is_contrastive(bench)
    say = UNSHUFFLED.fail if is_sure else UNSHUFFLED.note
    yield say(
        value=round(z, 2),
        limit=limits["z"],
        where=place_of_loader(bench, "loader"),
        evidence=f"{share:.0%} of neighbours have the same class in the first {len(y)} examples, "
        f"z = {z:.1f}; batches differ in their classes by z = {between:.1f}",
    )


def is_contrastive(bench: Bench) -> bool:
    """Whether the loss compares examples with each other, as far as its torch calls tell."""
    from labbook.checks.losses import loss_kind

    try:
        return bench.shared(loss_kind) not in {"ce", "nll", "bce", "bce-logits", "mse", "hinge"}
    except Cannot:
        return False


def _first_sizes(seen: Pass) -> list[int]:
    sizes: list[int] = []
    for batch in seen.batches:
        if len(sizes) >= _BATCHES and sum(sizes) >= _MOST:
            break
        sizes.append(batch.n)
    return sizes


def _neighbours(y: np.ndarray) -> tuple[float, float]:
    """z of equal neighbours, and their share."""
    import numpy as np

    _, counts = np.unique(y, return_counts=True)
    q = float(((counts / len(y)) ** 2).sum())
    share = float((y[1:] == y[:-1]).mean())
    spread = (q * (1 - q) / (len(y) - 1)) ** 0.5
    return ((share - q) / spread if spread > 0 else 0.0), share


def _between(y: np.ndarray, sizes: list[int], seed: int) -> float:
    """z of sum over batches and classes of n_bc^2 / n_b, against permutations of the labels."""
    import numpy as np

    _, codes = np.unique(y, return_inverse=True)
    batch = np.repeat(np.arange(len(sizes)), sizes)
    n_classes = int(codes.max()) + 1
    weights = 1 / np.asarray(sizes, float)

    def spread(labels: np.ndarray) -> float:
        counts = np.bincount(batch * n_classes + labels, minlength=len(sizes) * n_classes)
        squares = (counts.reshape(len(sizes), n_classes).astype(float) ** 2).sum(1)
        return float((squares * weights).sum())

    rng = np.random.default_rng(seed)
    draws = np.array([spread(rng.permutation(codes)) for _ in range(_PERMUTATIONS)])
    sd = float(draws.std())
    return (spread(codes) - float(draws.mean())) / sd if sd > 0 else 0.0


def _unshuffled_numbers(bench: Bench, seen: Pass, limits: Limits) -> Iterator[Finding]:
    """Regression and dense targets: a note, since time series and curricula are in order too."""
    import torch

    values = _target_means(seen)[: sum(_first_sizes(seen))]
    if len(values) < _LEAST or float(values.std()) == 0:
        raise Cannot("targets say nothing about the order")
    ranks = values.argsort().argsort().double()  # heavy tails would inflate the correlation
    centred = ranks - ranks.mean()
    rho = float((centred[1:] * centred[:-1]).sum() / (centred**2).sum())
    z = rho * len(values) ** 0.5
    if z > limits["z"] and torch.isfinite(values).all():
        yield UNSHUFFLED.note(
            value=round(z, 2),
            limit=limits["z"],
            where=place_of_loader(bench, "loader"),
            evidence=f"targets of neighbours correlate by {rho:.2f} in the first {len(values)} "
            f"examples, z = {z:.1f}",
        )


def _target_means(seen: Pass) -> Tensor:
    import torch

    parts = [t.double().reshape(len(t), -1).mean(1) for t in seen.targets if t.ndim and t.numel()]
    if not parts or seen.is_self_supervised:
        raise Cannot("targets are the inputs, or no tensors")
    return torch.cat(parts)


SAME = Rule(
    "data/same-order",
    kind="free",
    stage="data",
    says="every epoch delivers the examples in the same order",
    formula="the first min(8, all) batches hold the same examples, in order, in two passes; warn "
    "for a DataLoader that reads in sequence, else a note",
    needs=("loader",),
    follows=("data/unshuffled", "data/labels-constant"),
    advice="remember to shuffle",
    causes=("shuffle=True is missing", "the generator is seeded anew at each epoch"),
    fix="DataLoader(dataset, batch_size, shuffle=True)",
    false_positives="time series and text read in order; streams that are shuffled beforehand",
    source="Shelhamer, DIY Deep Learning",
)


@SAME.on_subject
def same_order(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare two passes."""
    seen = bench.shared(train_pass)
    if len(seen.batches) < 2:
        raise Cannot("one batch holds all: its order does not matter")
    first, second = _order(bench, 1), _order(bench, 2)
    if first != second or len(first) < 2:
        return
    is_plain = _reads_in_sequence(bench)
    say = SAME.warn if is_plain and _is_independent(bench, seen) else SAME.note
    yield say(
        where=place_of_loader(bench, "loader"),
        evidence=f"the first {len(first)} batches are the same in two passes"
        + (" (SequentialSampler)" if is_plain else ""),
    )


def _order(bench: Bench, epoch: int) -> list[object]:
    """What identifies each of the first batches: indices, else the content of all its tensors."""
    import hashlib

    noted: list[list[int]] = []
    found: list[object] = []
    for batch in bench.stream("loader", epoch, noted):
        indices = noted[len(found)] if len(found) < len(noted) else []
        if indices:
            found.append(tuple(indices))
        else:
            whole = hashlib.blake2b(digest_size=16)
            for tensor in leaves((batch.inputs, batch.target)):
                if is_dense(tensor) and not tensor.is_complex():
                    whole.update(tensor.detach().cpu().double().numpy().tobytes())
            found.append(whole.digest())
        if len(found) == _BATCHES:
            break
    return found


def _reads_in_sequence(bench: Bench) -> bool:
    from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler

    loader = bench.subject.loader
    return (
        isinstance(loader, DataLoader)
        and not isinstance(loader.dataset, IterableDataset)
        and type(loader.sampler) is SequentialSampler
        and type(loader.batch_sampler) is BatchSampler
    )


def _is_independent(bench: Bench, seen: Pass) -> bool:
    """Whether examples may come in any order: not windows of one sequence, read in turn."""
    try:
        if bench.task == "language":
            return False
    except Cannot:
        pass
    x = given_x(seen.batches[0])
    return x is not None and not (x.ndim == 3 and class_labels(seen) is None)
