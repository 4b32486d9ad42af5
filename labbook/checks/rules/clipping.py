"""Gradient clipping that has no effect, or too much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import Event, Watched, watched

ALWAYS = Rule(
    "optim/grad-clip-always",
    kind="free",
    stage="loop",
    says="clipping takes almost all of the gradient away, at each step",
    formula="over ≥ `clips` calls, more than 95 % find a norm above their limit, and the median of "
    "limit/norm is below `left`",
    limits={"clips": 5, "left": 0.01},
    needs=("train", "optimizer"),
    follows=("loop/stale-grad",),
    advice="clipping the output or the loss is not the same as clipping the gradients",
    causes=("max_norm is far below the usual norm", "the loss is summed, not averaged"),
    fix="set max_norm near the usual norm of the gradient, or leave clipping out",
    false_positives="Adam without weight decay, which undoes a constant scale",
    source="torch.nn.utils.clip_grad_norm_, what it returns",
)

AFTER = Rule(
    "loop/clip-after-step",
    kind="free",
    stage="loop",
    says="gradients are clipped when there are none to use: clipping has no effect",
    formula="every clipping call lies between an optimizer step (or the beginning) and the next "
    "backward pass",
    needs=("train", "optimizer"),
    advice="double-check the loop: clear, forward, backward, clip, step",
    causes=(
        "clip_grad_norm_ stands after optimizer.step()",
        "clip_grad_norm_ stands before loss.backward()",
    ),
    fix="clip between loss.backward() and optimizer.step()",
    source="the order of the loop's own calls",
)


@ALWAYS.on_subject
def always(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare the norms found with the limits given."""
    seen = bench.shared(watched)
    useful = [e for e in seen.of("clip") if _is_fresh(seen, e) and math.isfinite(e.norm)]
    if seen.of("scale") or len(useful) < limits["clips"]:
        if seen.of("clip"):
            raise Cannot("too few clipping calls on gradients of known scale")
        return
    active = sum(e.norm > e.limit for e in useful) / len(useful)
    left = median(e.limit / max(e.norm, 1e-30) for e in useful)
    if active > 0.95 and left < limits["left"]:
        norm = median(e.norm for e in useful)
        yield ALWAYS.warn(
            value=left,
            limit=limits["left"],
            where=useful[0].where,
            evidence=f"gradients of norm {norm:.3g} are clipped to {useful[0].limit:.3g} at "
            f"{active:.0%} of {len(useful)} calls: {1 / left:.0f} times smaller steps",
        )


@AFTER.on_subject
def after(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at what lies before each clipping."""
    seen = bench.shared(watched)
    clips = seen.of("clip")
    if len(clips) < 3 or any(_is_fresh(seen, e) for e in clips):
        return
    one = clips[1]
    before = max((s.at for s in seen.all_steps if s.at < one.at), default=0)
    forwards = any(before < f.at < one.at for f in seen.forwards)
    cause = AFTER.causes[1] if forwards else AFTER.causes[0]
    yield AFTER.fail(
        value=float(len(clips)),
        limit=0.0,
        where=one.where,
        evidence=f"all {len(clips)} clipping calls came "
        + ("before the backward pass" if forwards else "after the step"),
        causes=(cause,),
    )


def _is_fresh(seen: Watched, clip: Event) -> bool:
    """Whether a backward pass lies between the last step, or clearing, and this call."""
    gone = [s.at for s in seen.all_steps if s.at < clip.at]
    gone += [e.at for e in seen.of("zero") if e.at < clip.at]
    passes = [b.at for b in seen.backwards if b.at < clip.at]
    return bool(passes) and max(passes) > max(gone, default=0)
