"""Gradients accumulated over several batches: their scale, and the norms that see one batch."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import Watched, watched

SCALE = Rule(
    "loop/accum-scale",
    kind="free",
    stage="loop",
    says="gradients of several batches are added, and the loss is not divided by their number",
    formula="k ≥ 2 backward passes a step over different batches, and their roots are mean losses "
    "themselves, not divided or scaled",
    needs=("train", "optimizer"),
    follows=("loop/stale-grad",),
    advice="accumulate gradients to decouple the batch size from memory",
    causes=("loss.backward() in place of (loss / k).backward()",),
    fix="call (loss / k).backward(), k being the number of batches a step",
    false_positives="a learning rate chosen for the sum",
    source="the root of each backward pass; Shelhamer, DIY Deep Learning",
)

NORMS = Rule(
    "loop/accum-batchnorm",
    kind="free",
    stage="loop",
    says="gradients are accumulated, but batch norm sees one small batch at a time",
    formula="k ≥ 2 backward passes a step over different batches of B examples, with batch norm in "
    "train mode; B < `examples`: warn, else note",
    limits={"examples": 16},
    needs=("train", "optimizer"),
    follows=("loop/stale-grad",),
    advice="watch out for normalization at the computational batch size",
    causes=("the batch was made smaller to fit, and accumulation does not make up for norms",),
    fix="use GroupNorm or LayerNorm, or freeze batch norm",
    false_positives="networks that were tuned with this batch size",
    source="Wu and He 2018, Group Normalization (the knee near 16 is theirs, for images)",
)

_MEANS = {"NllLossBackward0", "NllLoss2DBackward0", "MseLossBackward0", "SmoothL1LossBackward0",
          "HuberLossBackward0", "BinaryCrossEntropyBackward0",
          "BinaryCrossEntropyWithLogitsBackward0", "MeanBackward0"}  # fmt: skip
"""Roots of losses that are means by default."""


_ADAPTIVE = {"Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "Lion"}
"""Optimizers to which the size of a gradient is nothing: a note for those."""


@SCALE.on_subject
def scale(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at what each backward pass starts from."""
    seen = bench.shared(watched)
    k = accumulated(seen)
    roots = [b.root for b in seen.backwards]
    if k < 2 or not all(root in _MEANS for root in roots):
        return
    adapts = type(seen.optimizer).__name__ in _ADAPTIVE
    say = SCALE.note if adapts else SCALE.warn
    yield say(
        value=float(k),
        limit=1.0,
        where=seen.backwards[0].where,
        evidence=f"{k} backward passes a step, each from the whole loss: the effective learning "
        f"rate is {k} times the one given",
        fix=f"call (loss / {k}).backward()",
    )


@NORMS.on_subject
def norms(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for batch norms in train mode."""
    import torch

    seen = bench.shared(watched)
    k = accumulated(seen)
    if k < 2:
        return
    kinds = {
        name or type(m).__name__: m
        for name, m in seen.model.named_modules()
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)
    }
    live = {name for b in seen.backwards for name in b.used if name not in b.modes}
    found = [name for name in kinds if name in live]
    size = min((f.n for f in seen.forwards if f.grad_enabled and f.n), default=0)
    if not found or not size:
        return
    say = NORMS.warn if size < limits["examples"] else NORMS.note
    yield say(
        value=float(size),
        limit=limits["examples"],
        where=found[0],
        evidence=f"statistics use {size} examples, gradients {k} · {size} = {k * size}; "
        f"{len(found)} batch norms update their running statistics {k} times a step",
    )


def accumulated(seen: Watched) -> int:
    """Batches a step: backward passes that follow a forward pass on an input of their own.

    1 where two losses of one batch are followed back one after the other.
    """
    if not seen.forwards:
        raise Cannot("train() did not call the model it was given")
    steps = seen.steps or seen.others
    counts: list[int] = []
    start = 0
    for step in steps:
        digests, last = set(), start
        for backward in (b for b in seen.backwards if start < b.at < step.at):
            inputs = [f for f in seen.forwards if last < f.at < backward.at and f.grad_enabled]
            digests |= {f.digest for f in inputs[-1:]}
            last = backward.at
        cleared = any(
            e.kind == "zero" and b.at < e.at < step.at
            for b in seen.backwards
            if start < b.at < step.at
            for e in seen.events
        )
        counts.append(1 if cleared else len(digests))
        start = step.at
    return sorted(counts)[len(counts) // 2] if counts else 0
