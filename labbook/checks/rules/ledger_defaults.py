"""Small habits that a book shows: committed conditions, defaults first, differences above noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

DIRTY = Rule(
    "ledger/dirty",
    kind="ledger",
    stage="ledger",
    says="this run was started from a dirty tree",
    formula="uncommitted changes at the start, and no commit holds this code since",
    advice="if it is worth running the experiment, it is worth committing the conditions",
    fix="git commit -a before the next run; labbook restore RUN has this one's code",
    source="exact",
)

DEFAULTS = Rule(
    "ledger/no-default-run",
    kind="ledger",
    stage="ledger",
    says="no run of this book used the optimizer's defaults",
    formula="every followed run (≥ `runs`, the newest 50) has betas, eps, momentum, … other than "
    "the optimizer's own defaults",
    limits={"runs": 3},
    advice="try defaults first",
    fix="one run with the optimizer's defaults and the learning rate alone changed",
    source="the optimizer's recorded options against torch's defaults",
)

NOISE = Rule(
    "eval/within-noise",
    kind="ledger",
    stage="ledger",
    says="the best run leads the next by less than chance would",
    formula="difference of the two best runs' newest metric < `errors` · √(s₁² + s₂²), s their "
    "standard errors over examples",
    limits={"errors": 2},
    advice="add significant digits to your eval: is it larger than its standard error?",
    causes=("a small validation set", "seeds matter more than the change"),
    fix="evaluate on more examples, and repeat both with several seeds",
    source="the standard errors that the watcher computed",
)

_DEFAULTS: dict[str, dict[str, Any]] = {
    "Adam": {"betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False},
    "AdamW": {"betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False},
    "SGD": {"momentum": 0, "dampening": 0, "nesterov": False},
    "RMSprop": {"alpha": 0.99, "eps": 1e-8, "momentum": 0, "centered": False},
    "Adagrad": {"lr_decay": 0, "eps": 1e-10},
}
"""torch.optim's own."""


@DIRTY.on_book
def dirty(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """This run."""
    summary = run.run.summary()
    if summary.dirty is None:
        raise Cannot("not recorded: the state of the git tree")
    committed = next(iter(run.run.facts.facts("committed")), None)
    if summary.dirty and committed is None:
        names = ", ".join(summary.dirty[:4])
        yield DIRTY.note(
            value=len(summary.dirty),
            limit=0,
            where=names,
            evidence=f"{len(summary.dirty)} files were not as committed: {names}",
        )


@DEFAULTS.on_book
def defaults(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The optimizers of followed nets."""
    if run.book is None:
        raise Cannot("not recorded: no book")
    seen = 0
    for run_id in run.book.ids()[:50]:
        for options in _options(run.book.run(run_id)):
            own = _DEFAULTS.get(str(options.get("type", "")).rpartition(".")[2])
            if own is None:
                continue
            seen += 1
            given = options["settings"]
            if all(_same(given.get(name, value), value) for name, value in own.items()):
                return
    if seen < limits["runs"]:
        raise Cannot("not recorded: fewer than three followed runs with a known optimizer")
    yield DEFAULTS.note(
        value=seen, where=str(run.book.root), evidence=f"all {seen} followed optimizers were tuned"
    )


def _options(reader: Any) -> Iterator[dict[str, Any]]:
    for net in reader.nets().values():
        for optimizer in net.get("optimizers") or ():
            groups = optimizer.get("groups") if isinstance(optimizer, dict) else None
            if groups:
                yield {"type": optimizer["type"], "settings": groups[0].get("settings") or {}}


def _same(one: Any, other: Any) -> bool:
    return list(one) == list(other) if isinstance(other, list) and one is not None else one == other


@NOISE.on_book
def noise(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The two best runs by the metric most have."""
    scored, metric = run.ledger.scored(), run.ledger.metric
    if metric is None or run.book is None or not metric.column.startswith("result."):
        raise Cannot("not recorded: no metric of an evaluation")
    if len(scored) < 2:
        raise Cannot("not recorded: fewer than two ended runs with the metric")
    evaluation, _, name = metric.column.removeprefix("result.").partition(".")
    errors = [_error(run.book.run(row["id"]), evaluation, name) for _, row in scored[:2]]
    if any(error is None for error in errors):
        raise Cannot("not recorded: standard errors of the metric")
    spread = math.hypot(*(error for error in errors if error is not None))
    (first, best), (second, next_) = scored[:2]
    if spread > 0 and first - second < limits["errors"] * spread:
        yield NOISE.note(
            value=first - second,
            limit=limits["errors"] * spread,
            where=f"{best['name']} and {next_['name']}",
            evidence=f"{metric.column}: {abs(first):.5g} against {abs(second):.5g}, with a "
            f"standard error of {spread:.2g} for the difference",
        )


def _error(reader: Any, evaluation: str, metric: str) -> float | None:
    found = [r for r in reader.results(evaluation, strict=False) if metric in r.stderr]
    return float(found[-1].stderr[metric]) if found else None
