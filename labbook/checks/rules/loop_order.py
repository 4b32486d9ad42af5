"""A loop that does not step, steps too early, or trains without gradients."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import Step, Watched, loop, watched

NO_GRAD = Rule(
    "loop/no-grad",
    kind="free",
    stage="run",
    says="the training loop runs the model with gradients turned off",
    formula="every forward pass before the first backward pass or step has gradients off, or every "
    "backward pass starts from a tensor without a graph",
    needs=("train", "optimizer"),
    advice="separate evaluation from optimization",
    causes=(
        "the loop stands under torch.no_grad(), or calls torch.set_grad_enabled(False)",
        "the loss was detached, taken by .item(), or made again by torch.tensor(…)",
    ),
    fix="take the training step out of torch.no_grad(), and call backward() on the loss itself",
    source="torch.is_grad_enabled() in the loop's own forward passes",
)

NO_STEP = Rule(
    "loop/no-step",
    kind="free",
    stage="loop",
    says="the training loop changes nothing: no optimizer takes a step",
    formula="the loop ran the model and ended, no optimizer of the model's parameters took a step, "
    "and no parameter changed",
    needs=("train", "optimizer"),
    follows=("loop/no-grad", "loop/dry-run"),
    advice="double-check the loop: clear, forward, backward, step",
    causes=("optimizer.step() is missing", "the loop ends before it reaches it"),
    fix="call optimizer.step() after loss.backward()",
    source="the optimizer's own hooks",
)

STEP_FIRST = Rule(
    "loop/step-before-backward",
    kind="free",
    stage="loop",
    says="the optimizer steps before the backward pass: on old gradients, or on none",
    formula="share of steps that lie between the forward pass and its own backward pass, over ≥ 3 "
    "steps, more than `share`",
    limits={"share": 0.5},
    needs=("train", "optimizer"),
    advice="double-check the loop: clear, forward, backward, step",
    causes=("optimizer.step() stands before loss.backward()",),
    fix="call loss.backward() first, then optimizer.step()",
    source="the order of the loop's own calls",
)


@NO_GRAD.on_subject
def no_grad(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the first forward passes, and at where backward passes start."""
    seen = bench.shared(loop)
    if not seen.forwards:
        raise Cannot("train() did not call the model it was given")
    at = [b.at for b in seen.backwards[:1]] + [s.at for s in seen.all_steps[:1]]
    first = [f for f in seen.forwards if not at or f.at < min(at)]
    if first and not any(f.grad_enabled for f in seen.forwards):
        yield NO_GRAD.fail(
            value=1.0,
            limit=0.0,
            where=first[0].where,
            evidence=f"all {len(seen.forwards)} forward passes of the loop had gradients off",
        )
        return
    rootless = [b for b in seen.backwards if not b.root]
    if seen.backwards and len(rootless) == len(seen.backwards):
        yield NO_GRAD.fail(
            value=1.0,
            limit=0.0,
            where=rootless[0].where,
            evidence=f"all {len(rootless)} backward passes start from a tensor without a graph",
            causes=tuple(reversed(NO_GRAD.causes)),
        )


@NO_STEP.on_subject
def no_step(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare the parameters when the loop has ended without a step."""
    seen = bench.shared(loop)
    if seen.all_steps or seen.has_moved:
        return
    if seen.error is not None:
        raise Cannot("train() raised before its first step")
    if not seen.forwards and not seen.backwards:
        raise Cannot("train() did not call the model it was given")
    last = seen.backwards[-1].where if seen.backwards else seen.forwards[-1].where
    yield NO_STEP.fail(
        value=0.0,
        limit=1.0,
        where=last,
        evidence=f"asked for {seen.n_steps} steps, train() made {len(seen.forwards)} forward and "
        f"{len(seen.backwards)} backward passes and no step; no parameter changed",
    )


@STEP_FIRST.on_subject
def step_first(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at what lies around each step of the given optimizer."""
    seen = bench.shared(watched)
    steps = seen.steps or seen.others
    if len(steps) < 3:
        raise Cannot(f"train() took {len(steps)} optimizer steps, too few to tell")
    found = [step for step in steps if _is_early(seen, step)]
    share = len(found) / len(steps)
    if share > limits["share"]:
        yield STEP_FIRST.fail(
            value=share,
            limit=limits["share"],
            where=found[0].where,
            evidence=f"{len(found)} of {len(steps)} steps were taken after the forward pass and "
            "before its backward pass",
        )


def _is_early(seen: Watched, step: Step) -> bool:
    """Forward, step, backward, with nothing of these in between."""
    forwards = [f.at for f in seen.forwards if f.grad_enabled]
    backwards = [b.at for b in seen.backwards]
    before = max((at for at in forwards if at < step.at), default=0)
    after = min((at for at in backwards if at > step.at), default=0)
    if not before or not after or any(before < at < step.at for at in backwards):
        return False
    return not any(step.at < at < after for at in forwards)
