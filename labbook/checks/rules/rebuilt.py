"""Optimizers made anew in the loop, and gradient scalers left out of it."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.rule import Limits, Rule
from labbook.checks.watched import Event, Watched, loop, watched

REBUILT = Rule(
    "loop/optimizer-rebuilt",
    kind="free",
    stage="loop",
    says="the optimizer is made anew again and again: momentum and averages are lost each time",
    formula="one line makes ≥ 2 optimizers of the model's parameters, each of which takes steps; "
    "for SGD without momentum: note",
    needs=("train", "optimizer"),
    advice="double-check the loop",
    causes=("the optimizer is made inside the loop over steps or epochs",),
    fix="make the optimizer once, before the loop",
    false_positives="stages of a training that start again on purpose",
    source="the optimizer's own constructor and hooks",
)

SCALER = Rule(
    "loop/scaler",
    kind="free",
    stage="run",
    says="the gradient scaler is used in part: gradients have the wrong scale",
    formula="scaled losses and optimizer.step() called by itself; or scaler.step() after backward "
    "passes from losses that were not scaled; or gradients clipped before scaler.unscale_()",
    needs=("train", "optimizer"),
    advice="double-check the loop: scale, backward, unscale, clip, step, update",
    causes=("optimizer.step() in place of scaler.step(optimizer)",),
    fix="scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update()",
    source="torch.amp.GradScaler; PyTorch, automatic mixed precision examples",
)


@REBUILT.on_subject
def rebuilt(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Group the optimizers made meanwhile by their line."""
    seen = bench.shared(watched)
    stepped = {step.optimizer for step in seen.others}
    lines: dict[str, list[Event]] = {}
    for event in seen.of("made"):
        if event.number in stepped:
            lines.setdefault(event.where, []).append(event)
    for where, made in lines.items():
        if len(made) < 2:
            continue
        say = REBUILT.warn if _has_state(made[0]) else REBUILT.note
        yield say(
            value=float(len(made)),
            limit=1.0,
            where=where,
            evidence=f"{len(made)} optimizers ({made[0].name}) were made in the loop, and took "
            f"{len(seen.others)} steps",
        )


def _has_state(made: Event) -> bool:
    """SGD loses its momentum, if it has any; others lose their averages."""
    return made.name != "SGD" or made.momentum > 0


@SCALER.on_subject
def scaler(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at what was scaled, and who stepped."""
    seen = bench.shared(loop)
    if not seen.of("scale", "scaler-step"):
        return
    inside = _spans(seen)
    steps = seen.all_steps
    bare = [s for s in steps if not any(a < s.at < b for a, b in inside)]
    scaled = [e.at for e in seen.of("scale")]
    if scaled and bare and len(bare) == len(steps):
        yield SCALER.fail(
            where=bare[0].where,
            evidence=f"the loss was scaled {len(scaled)} times, and all {len(bare)} steps were "
            "optimizer.step() by itself, on gradients that are scaled",
        )
    elif seen.of("scaler-step") and not scaled and seen.backwards:
        yield SCALER.fail(
            where=seen.backwards[0].where,
            evidence=f"scaler.step() was called {len(seen.of('scaler-step'))} times, and no loss "
            "was scaled: gradients are divided by the scale all the same, or the scaler raises",
            causes=("loss.backward() in place of scaler.scale(loss).backward()",),
        )
    elif scaled and inside and seen.of("clip") and not seen.of("unscale"):
        yield SCALER.warn(
            where=seen.of("clip")[0].where,
            evidence=f"gradients were clipped {len(seen.of('clip'))} times while they were scaled",
            causes=("scaler.unscale_(optimizer) is missing before clipping",),
            fix="call scaler.unscale_(optimizer) before clip_grad_norm_",
        )


def _spans(seen: Watched) -> list[tuple[int, int]]:
    begins = [e.at for e in seen.of("scaler-step")]
    ends = [e.at for e in seen.of("scaler-stepped")]
    return list(zip(begins, ends, strict=False))
