"""Training in eval mode: from the start, or since an evaluation that was not left."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench, UserError
from labbook.checks.finding import Finding
from labbook.checks.modes import mode_modules
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import Backward, Watched, watch, watched

IN_EVAL = Rule(
    "loop/train-in-eval",
    kind="free",
    stage="loop",
    says="the model is trained in eval mode: dropout and norm layers do not do their part",
    formula="share of optimizer steps whose last backward pass belongs to a forward pass with "
    "model.training False and every module with a mode of its own in eval mode; more than `share`",
    limits={"share": 0.5},
    needs=("train", "optimizer"),
    follows=("loop/no-grad",),
    advice="switch to evaluation mode by model.eval(), and check the mode by model.training",
    causes=("model.train() is missing in the loop", "model.eval() is called in the loop"),
    fix="call model.train() before the training steps",
    false_positives="fine-tuning with all norm and dropout layers frozen by model.eval()",
    source="the flags inside forward, during the user's own loop; Lightning #21146",
)

LEFT = Rule(
    "loop/eval-never-left",
    kind="free",
    stage="loop",
    says="after an evaluation the model stays in eval mode, and training goes on in it",
    formula="steps in train mode, then an evaluation, then only steps in eval mode; or evaluate() "
    "returns a model in eval mode and train() does not switch back",
    needs=("train", "optimizer"),
    follows=("loop/train-in-eval", "loop/no-grad"),
    advice="switch to evaluation mode by model.eval(), and check the mode by model.training",
    causes=("model.train() is called once, before the loop, and not after each evaluation",),
    fix="call model.train() after each evaluation, or at the start of each epoch",
    source="the flags inside forward, during the user's own loop",
)


@IN_EVAL.on_subject
def in_eval(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the mode of the pass behind each step."""
    seen = bench.shared(watched)
    passes = _passes(seen)
    found = [b for b in passes if _is_eval(b)]
    share = len(found) / len(passes)
    if not found or share <= limits["share"] or not _is_eval(passes[0]):
        return
    say = IN_EVAL.warn if bench.subject.pretrained or share < 1 else IN_EVAL.fail
    yield say(
        value=share,
        limit=limits["share"],
        where=_forward_before(seen, found[0]),
        evidence=f"{len(found)} of {len(passes)} training steps ran in eval mode, with "
        f"{_named(found[0].modes)}",
    )


@LEFT.on_subject
def left(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for the change within the loop; else evaluate a copy and train it on."""
    passes = _passes(seen := bench.shared(watched))
    if _is_eval(passes[0]):
        return
    last = passes[-1]
    since = next((b for b in passes if _is_eval(b)), None)
    if since is not None:
        tail = [b for b in passes if b.at >= since.at]
        if len(tail) >= 2 and all(_is_eval(b) for b in tail):
            yield LEFT.fail(
                value=float(since.step),
                where=_forward_before(seen, last),
                evidence=f"from step {since.step + 1} on all {len(tail)} training steps ran in "
                f"eval mode, with {_named(last.modes)}",
            )
        return
    if bench.subject.evaluate is not None:
        yield from _after_evaluate(bench)


def _after_evaluate(bench: Bench) -> Iterator[Finding]:
    model = bench.model().train()
    try:
        bench.evaluate(model)
    except UserError:
        return
    if model.training or not mode_modules(model):
        return
    seen = watch(bench, model, bench.optimizer(model), 3)
    passes = _passes(seen)
    if all(_is_eval(b) for b in passes):
        yield LEFT.warn(
            where=_forward_before(seen, passes[0]),
            evidence="evaluate() returns the model in eval mode, and train() then trains it in "
            f"eval mode, with {_named(passes[0].modes)}",
        )


def _passes(seen: Watched) -> list[Backward]:
    """The last backward pass before each step that followed a forward pass of the model."""
    ends = [step.at for step in seen.all_steps]
    passes: list[Backward] = []
    start = 0
    for end in ends:
        own = [b for b in seen.backwards if start < b.at < end and b.training is not None]
        if own:
            passes.append(own[-1])
        start = end
    passes = [b for b in passes if b.used]
    if not passes:
        if seen.forwards or not seen.backwards:
            raise Cannot("nothing in the model that the loop runs depends on its mode")
        raise Cannot("train() did not call the model it was given")
    return passes


def _is_eval(one: Backward) -> bool:
    return one.training is False and set(one.modes) == set(one.used)


def _forward_before(seen: Watched, one: Backward) -> str:
    found = [f.where for f in seen.forwards if f.at < one.at and f.grad_enabled]
    return found[-1] if found else one.where


def _named(modes: tuple[str, ...]) -> str:
    shown = ", ".join(modes[:3])
    return f"{shown} and {len(modes) - 3} more" if len(modes) > 3 else shown
