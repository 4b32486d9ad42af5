"""Examples that are delivered twice: in training and in validation, or inside one batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.passes import (
    Pass,
    is_dense,
    place_of_data,
    place_of_loader,
    train_pass,
    val_pass,
)
from labbook.checks.rule import Cannot, Limits, Rule

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Overlap:
    """Validation examples that training has too.

    `by_index`: told by the dataset's own indices; `twins`: the share of training examples that have
    a twin in training, which says how much of it chance explains; `is_rich`: rows have so many
    values that chance explains nothing.
    """

    n: int
    n_val: int
    names: tuple[str, ...]
    by_index: bool
    twins: float
    is_rich: bool

    @property
    def share(self) -> float:
        """Of the validation examples."""
        return self.n / max(1, self.n_val)


def overlap(bench: Bench) -> Overlap:
    """Between the two loaders; `bench.shared` it."""
    told = _by_index(bench)
    if told is not None and told.n:
        return told
    train, val = bench.shared(train_pass), bench.shared(val_pass)
    ours, theirs = _digests(train), _digests(val)
    known: dict[bytes, int] = {}
    for digest in ours:
        known[digest] = known.get(digest, 0) + 1
    hits = [i for i, digest in enumerate(theirs) if digest in known]
    twins = sum(n for n in known.values() if n > 1) / max(1, len(ours))
    return Overlap(
        len(hits),
        len(theirs),
        tuple(val.names[i] for i in hits[:6] if i < len(val.names)),
        False,
        twins,
        val.is_rich,
    )


def _by_index(bench: Bench) -> Overlap | None:
    """Where both loaders draw from one dataset: the indices that both may draw."""
    ours, theirs = _indices(bench.subject.loader), _indices(bench.subject.val)
    if ours is None or theirs is None or ours[0] is not theirs[0]:
        return None
    both = sorted(ours[1] & theirs[1])
    return Overlap(
        len(both), len(theirs[1]), tuple(f"example {i}" for i in both[:6]), True, 0.0, True
    )


def _indices(loader: Any) -> tuple[Any, set[int]] | None:
    """The dataset at the bottom, and which of its examples a loader may deliver."""
    from torch.utils.data import (
        DataLoader,
        RandomSampler,
        SequentialSampler,
        Subset,
        SubsetRandomSampler,
    )

    if not isinstance(loader, DataLoader):
        return None
    dataset = loader.dataset
    sampler = loader.sampler
    if type(sampler) is SubsetRandomSampler:
        chosen = [int(i) for i in sampler.indices]
    elif type(sampler) in {RandomSampler, SequentialSampler} and hasattr(dataset, "__len__"):
        chosen = list(range(len(dataset)))
    else:
        return None
    while type(dataset) is Subset:
        chosen = [int(dataset.indices[i]) for i in chosen]
        dataset = dataset.dataset
    return dataset, set(chosen)


def _digests(seen: Pass) -> list[bytes]:
    """Of the inputs of each example, all of them together; `Cannot` for ragged batches."""
    rows: list[bytes] = []
    for batch in seen.batches:
        parts = [
            t.detach().cpu().contiguous().reshape(batch.n, -1)
            for t in leaves(batch.inputs)
            if t.ndim and len(t) == batch.n and t.numel() and is_dense(t)
        ]
        arrays = [_bytes_of(part) for part in parts]
        for row in range(batch.n):
            whole = hashlib.blake2b(digest_size=8)
            for array in arrays:
                whole.update(array[row].tobytes())
            rows.append(whole.digest())
    if not rows:
        raise Cannot("the inputs are no tensors")
    return rows


def _bytes_of(part: Tensor) -> Any:
    import torch

    return (part.float() if part.dtype is torch.bfloat16 else part).numpy()


VAL_IS_TRAIN = Rule(
    "data/val-is-train",
    kind="free",
    stage="data",
    says="the validation set is the training set",
    formula="the same loader or dataset object, or ≥ share of validation examples in training",
    limits={"share": 0.95},
    needs=("loader", "val"),
    advice="look at the data as it is given to the model, in training and in validation",
    causes=(
        "the wrong variable is passed to the validation loader",
        "both sets are made with the same seed, split or file",
    ),
    fix="give the validation loader its own split: random_split(dataset, [n_train, n_val])",
    false_positives="a check of one's own that overfits a few examples on purpose",
    source="identity of datasets and samplers, else blake2b of each example's inputs",
)


@VAL_IS_TRAIN.on_subject
def val_is_train(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare objects, then contents."""
    is_same = bench.subject.val is bench.subject.loader
    found = None if is_same else bench.shared(overlap)
    if found is not None and not _explains_all(found, limits["share"]):
        return
    share = 1.0 if found is None else found.share
    yield VAL_IS_TRAIN.fail(
        value=share,
        limit=limits["share"],
        where=place_of_loader(bench, "val"),
        evidence="val= and loader= are the same object"
        if found is None
        else f"{found.n} of {found.n_val} validation examples are in the training set",
    )


def _explains_all(found: Overlap, share: float) -> bool:
    if found.n < 2 or found.share < share:
        return False
    return found.is_rich or found.twins < share / 3


DUPLICATES = Rule(
    "data/train-val-duplicates",
    kind="free",
    stage="data",
    says="validation examples are in the training set too",
    formula="the same index of the same dataset, or equal inputs: fail above max(1, share of the "
    "validation set), else note; rows of few whole numbers only above chance times the share of "
    "training examples that have a twin in training",
    limits={"share": 0.01, "chance": 3.0},
    needs=("loader", "val"),
    follows=("data/val-is-train", "data/all-zero-inputs", "data/dup-in-batch"),
    advice="separate evaluation from optimization",
    causes=(
        "the split was drawn after examples were repeated or augmented",
        "ranges of indices overlap",
    ),
    fix="split first, then oversample and augment the training part alone",
    false_positives="inputs of few discrete values, that recur by chance",
    source="blake2b of each example's inputs as delivered",
)


@DUPLICATES.on_subject
def duplicates(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Count validation examples that training has."""
    if bench.subject.val is bench.subject.loader:
        return  # data/val-is-train says it
    found = bench.shared(overlap)
    if not found.n:
        return
    is_leak = found.n > max(1, limits["share"] * found.n_val)
    if not found.is_rich and found.share <= limits["chance"] * found.twins:
        is_leak = False
    say = DUPLICATES.fail if is_leak else DUPLICATES.note
    how = "by their index" if found.by_index else "input for input"
    yield say(
        value=round(found.share, 4),
        limit=limits["share"],
        where=place_of_data(bench, "val"),
        evidence=f"{found.n} of {found.n_val} validation examples are in the training set, {how}: "
        + ", ".join(found.names),
    )


DUP_IN_BATCH = Rule(
    "data/dup-in-batch",
    kind="free",
    stage="data",
    says="a batch holds the same example several times",
    formula="share of rows of the first 8 batches that equal another row of their batch though "
    "their indices differ, for rows of ≥ 8 different values: warn above share, or above note when "
    "equal inputs have different targets; else note",
    limits={"share": 0.5, "note": 0.05},
    needs=("loader",),
    follows=("data/all-zero-inputs",),
    advice="inspect a random selection of inputs and targets",
    causes=(
        "__getitem__ ignores its index, or returns the same buffer each time",
        "workers share the state of their random generator",
    ),
    fix="look at dataset[0] and dataset[1], and copy what __getitem__ returns",
    false_positives="sampling with replacement; classes that were oversampled",
    source="stackoverflow.com/questions/67180955",
)


@DUP_IN_BATCH.on_subject
def dup_in_batch(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare the rows of each batch."""
    seen = bench.shared(train_pass)
    digests = _digests(seen)
    if not seen.is_rich and not _repeats_one(seen, digests):
        raise Cannot("inputs have so few values that equal ones say nothing")
    n_twice = n = n_torn = at = 0
    for place, batch in enumerate(seen.batches[:8]):
        groups: dict[bytes, list[int]] = {}
        for row in range(batch.n):
            groups.setdefault(digests[at + row], []).append(row)
        at += batch.n
        n += batch.n
        for rows in groups.values():
            indices = {seen.noted[place][r] for r in rows} if seen.noted else set(rows)
            if len(rows) > 1 and len(indices) == len(rows):
                n_twice += len(rows)
                n_torn += len(rows) if _targets_differ(seen, place, rows) else 0
    share = n_twice / max(1, n)
    if share <= limits["note"]:
        return
    is_wrong = share > limits["share"] or n_torn > n_twice / 2
    say = DUP_IN_BATCH.warn if is_wrong else DUP_IN_BATCH.note
    yield say(
        value=round(share, 3),
        limit=limits["share"],
        where=place_of_data(bench, "loader"),
        evidence=f"{n_twice} of {n} examples equal another one of their batch"
        + (f", {n_torn} of them with different targets" if n_torn else ""),
    )


def _repeats_one(seen: Pass, digests: list[bytes]) -> bool:
    """Whether each batch holds one example throughout, and not all of them the same."""
    at, found = 0, []
    for batch in seen.batches:
        found.append(set(digests[at : at + batch.n]))
        at += batch.n
    is_one = len(found) >= 3 and all(len(one) == 1 for one in found) and seen.batches[0].n >= 4
    return is_one and len(set().union(*found)) > 1


def _targets_differ(seen: Pass, batch: int, rows: list[int]) -> bool:
    if not seen.targets or seen.targets[batch].ndim == 0:
        return False
    target = seen.targets[batch]
    return len(target) > max(rows) and not bool((target[rows] == target[rows[0]]).all())
