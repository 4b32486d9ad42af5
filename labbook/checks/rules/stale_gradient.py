"""Gradients of an earlier step that were not cleared: seen by what a backward pass finds there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule

if TYPE_CHECKING:
    from labbook.checks.bench import Bench
    from labbook.checks.recorded import Recorded

STALE = Rule(
    "loop/stale-grad",
    kind="free",
    stage="loop",
    says="gradients are not cleared between optimizer steps",
    formula="share of optimizer steps after which the next backward pass still finds the old "
    "gradient, over ≥ 3 steps; any: warn, more than `share`: fail",
    limits={"share": 0.5},
    needs=("train", "optimizer"),
    advice="clear gradients after each iteration: opt.zero_grad()!",
    causes=("optimizer.zero_grad() is missing", "it is called between backward() and step()"),
    fix="call optimizer.zero_grad() once before each backward pass, or after each step",
    false_positives="a loop that keeps gradients on purpose, as momentum by accumulation",
    source="a leaf's gradient before accumulation, torch ≥ 2.2; Shelhamer, DIY Deep Learning",
)


@STALE.on_subject
def stale(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the first backward pass after each step of the user's loop."""
    from labbook.checks.watched import watched

    seen = bench.shared(watched)
    firsts = {b.step: b for b in reversed(seen.backwards) if b.step > 0}
    if len(firsts) < 3:
        raise Cannot(f"train() took {len(seen.steps)} optimizer steps, too few to tell")
    found = [b for b in firsts.values() if b.stale]
    if not found:
        return
    share = len(found) / len(firsts)
    say = STALE.fail if share > limits["share"] else STALE.warn
    yield say(
        value=share,
        limit=0.0,
        where=found[0].where,
        evidence=f"{len(found)} of {len(firsts)} backward passes added to the gradient of the "
        "step before",
    )


@STALE.on_run
def stale_in_run(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The samples of a followed net: the old gradient's norm before the first backward pass."""
    found = run.followed("stale_gradient_norm")
    if not found:
        raise Cannot("not recorded: no net was followed with its optimizer (run.follow)")
    for optimizer, values in found.items():
        n_stale = int((values > 0).sum())
        if len(values) < 3 or n_stale == 0:
            continue
        share = n_stale / len(values)
        say = STALE.fail if share > limits["share"] else STALE.warn
        yield say(
            value=share,
            limit=0.0,
            where=f"optimizer {optimizer}",
            evidence=f"in {n_stale} of {len(values)} sampled steps the gradient of the step before "
            "was still there",
        )
