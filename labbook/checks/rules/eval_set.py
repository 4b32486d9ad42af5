"""Which examples an evaluation sees: all of the validation set, and none of the training set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from labbook.checks.bench import Bench
from labbook.checks.evaluated import Evaluated, called
from labbook.checks.examples import MOST, training_examples, validation
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule

WHOLE = Rule(
    "eval/not-whole-set",
    kind="free",
    stage="eval",
    says="part of the validation set is not evaluated",
    formula="evaluate() gives the model only examples of val=, and fewer than its dataset has: it "
    "stops early, or the loader drops its last batch",
    needs=("evaluate", "val"),
    advice="evaluate on the whole set: batch-wise statistics, even if smoothed, are too noisy",
    causes=("a break or return inside the loop over batches", "drop_last=True"),
    fix="go through all of the loader, made with drop_last=False",
    false_positives="a small set for routine evaluation, chosen on purpose",
    source="digests of the examples the model is given; Shelhamer, DIY Deep Learning",
)

TRAIN = Rule(
    "eval/on-train-data",
    kind="free",
    stage="eval",
    says="the evaluation is on training data",
    formula="≥ half of the examples that evaluate() gives the model are bitwise examples of "
    "loader= and not of val=, and less than half of val= is seen",
    needs=("evaluate", "loader", "val"),
    advice="separate evaluation from optimization",
    causes=("evaluate() goes through the training loader",),
    fix="evaluate on the validation loader",
    source="digests of the examples the model is given",
)


@WHOLE.on_subject
def whole(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare what the model was given with what there is."""
    seen = called(bench)
    given, known = _given(seen), bench.shared(validation)
    if not known.is_whole:
        raise Cannot(f"the validation set has more than {MOST} examples, or is slow to read")
    strange = sum(n for row, n in given.items() if row not in known.rows)
    if strange > 0.02 * sum(given.values()):
        raise Cannot("evaluate() gives the model other inputs than val= delivers")
    used = sum((given & known.rows).values())
    total = max(known.n, _size(bench.subject.val))
    if used >= total:
        return
    dropped = total - known.n
    yield WHOLE.warn(
        value=used / total,
        limit=1.0,
        where=seen.calls[-1].where,
        evidence=f"evaluate() gave the model {used} of {total} examples"
        + (f"; the loader itself leaves out {dropped}" if dropped else ""),
        causes=(WHOLE.causes[1],) if known.n <= used else (WHOLE.causes[0],),
        fix="make the validation loader with drop_last=False" if known.n <= used else WHOLE.fix,
    )


@TRAIN.on_subject
def on_train_data(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for training examples among those given."""
    seen = called(bench)
    given, known = _given(seen), bench.shared(validation)
    if sum((given & known.rows).values()) >= 0.5 * known.n:
        return
    training = bench.shared(training_examples)
    foreign = sum(n for row, n in given.items() if row in training.rows and row not in known.rows)
    share = foreign / max(1, sum(given.values()))
    if share >= 0.5:
        yield TRAIN.fail(
            value=share,
            limit=0.5,
            where=seen.calls[0].where,
            evidence=f"{foreign} of {sum(given.values())} examples that evaluate() gave the model "
            f"are training examples; of {known.n} of the validation set it saw "
            f"{sum((given & known.rows).values())}",
        )
    elif not training.is_whole and share == 0 and not given & known.rows:
        raise Cannot("evaluate() gives the model inputs that are in neither set as read")


def _given(seen: Evaluated) -> Counter[bytes]:
    given: Counter[bytes] = Counter()
    for call in seen.calls:
        given.update(call.rows)
    return given


def _size(loader: Any) -> int:
    """Of the dataset, where the loader goes through all of it."""
    from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

    if not isinstance(loader, DataLoader):
        return 0
    if not isinstance(loader.sampler, (RandomSampler, SequentialSampler)):
        return 0
    try:
        return len(loader.sampler)
    except (TypeError, NotImplementedError):
        return 0
