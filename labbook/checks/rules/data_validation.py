"""The validation loader: no random transforms, nothing left out, nothing shuffled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.passes import is_dense, place_of_data, place_of_loader
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.rules.data_order import is_contrastive
from labbook.checks.targets import target_matters
from labbook.client.undisturbed import seed_all

_READ = 8

AUGMENT = Rule(
    "data/augment-in-val",
    kind="free",
    stage="data",
    says="validation examples are another each time they are read",
    formula="val.dataset[i] read twice under different seeds, for 8 i: inputs differ and no target "
    "does: warn; note where examples are sampled (targets differ, one of several inputs does not, "
    "a contrastive loss), where the target is the clean input, or where only batches can be read",
    needs=("val",),
    advice="inspect the data as it is given to the model, in validation too",
    causes=("the validation set shares the training transform", "noise is added in __getitem__"),
    fix="give the validation set its own transform, without the random parts",
    false_positives="test-time augmentation; tasks whose input is noise",
    source="two reads of the same example",
)


@AUGMENT.on_subject
def augment(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Read the same examples twice."""
    dataset = _map_style(bench.subject.val)
    if dataset is None:
        yield from _of_batches(bench)
        return
    places = sorted({i * (len(dataset) - 1) // (_READ - 1) for i in range(_READ)})
    differ, targets_differ, is_pair = [], 0, False
    for i in places:
        bench.tick()
        one, other = _read(bench, dataset, i, 1), _read(bench, dataset, i, 2)
        if not _equal(_inputs(one), _inputs(other)):
            differ.append(i)
            targets_differ += not _equal(_target(one), _target(other))
            is_pair = is_pair or _is_pair(one, other)
    if not differ:
        return
    # what is drawn anew is no random transform of one example, nor is noise that is to be removed
    is_sampled = targets_differ > 0 or is_pair or _compares(bench)
    say = AUGMENT.note if is_sampled else AUGMENT.warn
    yield say(
        value=len(differ) / len(places),
        limit=0.0,
        where=place_of_data(bench, "val"),
        evidence=f"{len(differ)} of {len(places)} validation examples differ between two reads"
        + (", and so do their targets" if targets_differ else ""),
    )


def _compares(bench: Bench) -> bool:
    """Whether the loss compares views or examples, and not outputs with these targets."""
    try:
        return is_contrastive(bench) or not bench.shared(target_matters)
    except Cannot:
        return False


def _map_style(loader: Any) -> Any:
    from torch.utils.data import DataLoader, IterableDataset

    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    dataset = loader.dataset
    return dataset if hasattr(dataset, "__len__") and len(dataset) else None


def _read(bench: Bench, dataset: Any, i: int, seed: int) -> Any:
    seed_all(bench.seed + seed)
    return bench._users("val.dataset[i]", dataset.__getitem__, i)


def _inputs(item: Any) -> Any:
    return item[:-1] if isinstance(item, (tuple, list)) and len(item) > 1 else item


def _target(item: Any) -> Any:
    return item[-1] if isinstance(item, (tuple, list)) and len(item) > 1 else None


def _is_pair(one: Any, other: Any) -> bool:
    """Whether inputs are several of one shape (views, pairs), or some of them stayed.

    Or the target is an input without its noise.
    """
    import torch

    parts = list(leaves(_inputs(one)))
    others = list(leaves(_inputs(other)))
    stayed = [_equal(a, b) for a, b in zip(parts, others, strict=False)]
    target = _target(one)
    is_clean = isinstance(target, torch.Tensor) and target.is_floating_point() and bool(parts)
    is_several = len(parts) > 1 and len({part.shape for part in parts}) == 1
    return (
        any(stayed)
        or is_several
        or (is_clean and target.shape == parts[0].shape and target.numel() > 1)
    )


def _equal(one: Any, other: Any) -> bool:
    """Tensors, arrays and numbers in nested parts; anything else counts as equal."""
    import torch

    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_equal, one, other))
    try:
        a, b = torch.as_tensor(one), torch.as_tensor(other)
    except (TypeError, ValueError, RuntimeError):
        return True
    if not (is_dense(a) and is_dense(b)):
        return True
    if a.is_floating_point():
        a, b = a.nan_to_num(), b.nan_to_num()
    return a.shape == b.shape and torch.equal(a, b)


def _of_batches(bench: Bench) -> Iterator[Finding]:
    """Where there is no dataset to index, the first batches: they may be another sample."""
    passes = [list(_first(bench, epoch)) for epoch in (1, 2)]
    if len(passes[0]) != len(passes[1]) or not passes[0]:
        raise Cannot("val cannot be read twice")
    n = sum(not _equal(list(a), list(b)) for a, b in zip(*passes, strict=True))
    if n:
        yield AUGMENT.note(
            value=n / len(passes[0]),
            limit=0.0,
            where=place_of_data(bench, "val"),
            evidence=f"{n} of the first {len(passes[0])} validation batches differ between two "
            "passes: shuffled, sampled or augmented",
        )


def _first(bench: Bench, epoch: int) -> Iterator[list[Any]]:
    for at, batch in enumerate(bench.stream("val", epoch)):
        if at == 4:
            return
        yield [t.detach() for t in leaves(batch.inputs)]


DROPS = Rule(
    "data/drop-last-val",
    kind="static",
    stage="data",
    says="the validation loader leaves examples out",
    formula="drop_last=True and the number of examples is no multiple of the batch size: warn; a "
    "validation loader that shuffles: note",
    needs=("val",),
    advice="evaluate on the whole set",
    causes=("both loaders are made with the same arguments",),
    fix="DataLoader(val_set, batch_size, shuffle=False, drop_last=False)",
    false_positives="compiled models that need batches of one size",
    source="torch.utils.data.DataLoader(drop_last=)",
)


@DROPS.on_subject
def drops(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at how the loader is made."""
    from torch.utils.data import DataLoader, RandomSampler

    loader = bench.subject.val
    if _map_style(loader) is None or not isinstance(loader, DataLoader) or not loader.batch_size:
        raise Cannot("val is no DataLoader over a dataset with a length")
    n = len(loader.sampler)  # type: ignore[arg-type]
    left_out = n % loader.batch_size if loader.drop_last else 0
    if left_out:
        yield DROPS.warn(
            value=float(left_out),
            limit=0.0,
            where=place_of_loader(bench, "val"),
            evidence=f"drop_last=True: {left_out} of {n} validation examples are never evaluated",
        )
    elif type(loader.sampler) is RandomSampler:
        yield DROPS.note(
            where=place_of_loader(bench, "val"),
            evidence="the validation loader shuffles: results of single examples cannot be "
            "compared by their place",
            fix="DataLoader(val_set, batch_size, shuffle=False)",
        )
