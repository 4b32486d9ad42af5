"""Targets that say nothing, or that a cast has spoiled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.checks.bench import Bench, UserError
from labbook.checks.finding import Finding
from labbook.checks.passes import Pass, place_of_data, train_pass
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.targets import ignored_label, n_classes, target_matters

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT = Rule(
    "data/labels-constant",
    kind="free",
    stage="data",
    says="every target is the same",
    formula="one value in all targets of the loader, least examples or more, and the loss depends "
    "on the target: fail, warn where the pass did not come to its end",
    limits={"least": 32},
    needs=("loader",),
    follows=("data/empty-target", "data/nonfinite"),
    advice="histogram targets to see range and imbalance",
    causes=(
        "labels are read from the wrong column, or overwritten in the dataset",
        "the data is sorted by class and only its beginning is read",
        "a cast made all of them equal: labels in [0, 1] as integers",
    ),
    fix="print(collections.Counter(y for _, y in dataset)) and look where the labels come from",
    false_positives="one-class training",
    source="Shelhamer, DIY Deep Learning",
)


@CONSTANT.on_subject
def constant(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for a second value."""
    seen = bench.shared(train_pass)
    parts = [t for t in seen.targets if t.numel()]
    if not parts:
        raise Cannot("targets are no tensors")
    first = parts[0].reshape(-1)[0]
    if any(bool((t != first).any()) for t in parts) or seen.n < limits["least"]:
        return
    if _is_input(seen):
        raise Cannot("the target is the input")
    if not bench.shared(target_matters):
        raise Cannot("the loss does not depend on the target")
    say = CONSTANT.fail if seen.is_whole else CONSTANT.warn
    yield say(
        value=1.0,
        limit=1.0,
        where=place_of_data(bench, "loader"),
        evidence=f"all {seen.n} targets are {first.item():g}"
        + ("" if seen.is_whole else f" (the first {seen.n} examples)"),
    )


def _is_input(seen: Pass) -> bool:
    import torch

    if seen.is_self_supervised:
        return True
    try:
        x = seen.xs[0]
    except Cannot:
        return False
    return x.shape == seen.targets[0].shape and torch.equal(x, seen.targets[0])


EMPTY = Rule(
    "data/empty-target",
    kind="free",
    stage="data",
    says="targets are empty",
    formula="targets without elements, or with nothing but the label that the loss leaves out: all "
    "of them: fail; a share of examples above share: warn",
    limits={"share": 0.2},
    needs=("loader",),
    advice="inspect a random selection of inputs and targets",
    causes=(
        "masks or annotations were not found, and the dataset returns empty ones",
        "padding and labels are masked by the same test, which masks all",
    ),
    fix="raise in __getitem__ when an annotation is missing, and look at the examples named",
    false_positives="a little supervision among much that has none",
    source="torch.nn.CrossEntropyLoss: the mean over no element is NaN",
)


@EMPTY.on_subject
def empty(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Count examples that teach nothing."""
    seen = bench.shared(train_pass)
    if not seen.targets or not seen.n:
        raise Cannot("targets are no tensors")
    if all(t.numel() == 0 for t in seen.targets):
        yield _empty(bench, seen, list(range(seen.n)), limits, "have no element")
        return
    dense = [t for t in seen.targets if t.ndim > 1 and not t.is_floating_point()]
    if len(dense) != len(seen.targets):
        return
    ignored = bench.shared(ignored_label)
    if ignored is None:
        return
    gone: list[int] = []
    at = 0
    for target in dense:
        left = (target != ignored).reshape(len(target), -1).any(1)
        gone += [at + int(i) for i in (~left).nonzero()[:, 0]]
        at += len(target)
    if len(gone) > limits["share"] * seen.n:
        yield _empty(bench, seen, gone, limits, f"hold nothing but the ignored label {ignored}")


def _empty(bench: Bench, seen: Pass, gone: list[int], limits: Limits, how: str) -> Finding:
    say = EMPTY.fail if len(gone) == seen.n else EMPTY.warn
    return say(
        value=round(len(gone) / seen.n, 3),
        limit=limits["share"],
        where=place_of_data(bench, "loader"),
        evidence=f"the targets of {len(gone)} of {seen.n} examples {how}: {seen.named(gone)}",
    )


_WRAPPED = (255, 65535, 4294967295)

WRAP = Rule(
    "data/label-wrap",
    kind="free",
    stage="data",
    says="a cast to a small integer type has changed labels",
    formula="integer targets that hold 255, 65535 or 4294967295 at or above the number of classes "
    "and that the loss does not leave out: fail; targets of a type that cannot hold all classes, "
    "or whose largest is 255 with more than 256 classes: warn",
    needs=("loader",),
    advice="check for casting, especially to lower precision. what's -1 for a byte?",
    causes=("-1 was stored as uint8 and became 255", "labels above 255 were stored as uint8"),
    fix="store labels as int64, or pass CrossEntropyLoss(ignore_index=255) if 255 is meant so",
    false_positives="none known: a loss that is told to ignore 255 passes",
    source="(-1) mod 256 = 255; PASCAL VOC marks borders with 255",
)


@WRAP.on_subject
def wrap(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare labels with the number of classes and with the range of bytes."""
    import torch

    seen = bench.shared(train_pass)
    parts = [t for t in seen.targets if t.numel()]
    if not parts or parts[0].is_floating_point() or parts[0].dtype is torch.bool:
        raise Cannot("targets are no integers")
    found = torch.cat([torch.unique(t.reshape(-1).long()) for t in parts])
    found = torch.unique(found)
    n = _classes(bench)
    ignored = bench.shared(ignored_label)
    for value in _WRAPPED:
        if bool((found == value).any()) and value != ignored and n <= value and len(found) > 1:
            places = _places(seen, value)
            yield WRAP.fail(
                value=float(value),
                limit=float(n - 1),
                where=place_of_data(bench, "loader"),
                evidence=f"label {value} among {n} classes in {len(places)} of {seen.n} examples "
                f"({parts[0].dtype}): {seen.named(places)}; -1 in a byte is 255",
            )
            return
    kind = parts[0].dtype
    holds = torch.iinfo(kind).max + 1
    top = int(found.max())
    is_cut = n > 256 and len(found) > 200 and 250 <= top <= 255
    if n > holds or is_cut:
        yield WRAP.warn(
            value=float(top),
            limit=float(n - 1),
            where=place_of_data(bench, "loader"),
            evidence=f"labels of {n} classes never exceed {top} ({kind})",
        )


def _classes(bench: Bench) -> int:
    """From the loss's call; a loss that raised (on this very label) leaves the output's shape."""
    try:
        is_classes = bench.task in {"classification", "language"}
    except UserError:
        is_classes = True
    if not is_classes:
        raise Cannot("targets are no classes")
    return bench.shared(n_classes)


def _places(seen: Pass, value: int) -> list[int]:
    places: list[int] = []
    at = 0
    for target in seen.targets:
        rows: Tensor = (target == value).reshape(len(target), -1).any(1)
        places += [at + int(i) for i in rows.nonzero()[:, 0]]
        at += len(target)
    return places
