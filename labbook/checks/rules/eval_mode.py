"""An evaluation that runs in train mode, changes the model, or keeps gradients on."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.evaluated import called
from labbook.checks.finding import Finding
from labbook.checks.rule import Limits, Rule

MODE = Rule(
    "eval/train-mode",
    kind="free",
    stage="eval",
    says="the model is evaluated in train mode: dropout is on, or norms use the batch",
    formula="any module with a mode of its own is in train mode in a call of the model during "
    "evaluate(); all calls: fail; only calls before those in eval mode: note",
    needs=("evaluate",),
    advice="switch to evaluation mode by model.eval() — no, really — and check the mode by "
    "model.training",
    causes=("model.eval() is missing in evaluate()", "a part of the model is switched back"),
    fix="call model.eval() before the first batch of evaluate(), and model.train() after it",
    false_positives="dropout that samples on purpose (Monte Carlo dropout); new statistics for "
    "batch norm",
    source="the flags inside forward, during the user's own evaluation",
)

BUFFERS = Rule(
    "eval/buffers-changed",
    kind="free",
    stage="eval",
    says="evaluation changes the model's buffers: validation data gets into its statistics",
    formula="any buffer differs bitwise after evaluate(); statistics of a norm: fail, others: "
    "warn, integers: note",
    needs=("evaluate",),
    follows=("eval/train-mode", "eval/params-changed"),
    advice="separate evaluation from optimization",
    causes=("norm layers run in train mode", "a buffer is updated in forward in any mode"),
    fix="call model.eval() in evaluate(), and update buffers only if self.training",
    false_positives="counters and caches",
    source="the buffers before and after",
)

PARAMETERS = Rule(
    "eval/params-changed",
    kind="free",
    stage="eval",
    says="evaluation changes the model's parameters",
    formula="any parameter differs bitwise after evaluate()",
    needs=("evaluate",),
    advice="separate evaluation from optimization",
    causes=(
        "evaluate() takes an optimizer step",
        "averaged weights are copied in and not taken out again",
    ),
    fix="evaluate a copy, or put the weights back afterwards",
    false_positives="adaptation at test time",
    source="the parameters before and after",
)

GRADIENTS = Rule(
    "eval/grad-enabled",
    kind="free",
    stage="eval",
    says="gradients are recorded during evaluation: it takes more memory and time",
    formula="torch.is_grad_enabled() in a call of the model during evaluate()",
    needs=("evaluate",),
    advice="separate evaluation from optimization",
    causes=("torch.no_grad() is missing",),
    fix="decorate evaluate() with @torch.no_grad()",
    false_positives="metrics that need gradients",
    source="torch.is_grad_enabled() inside forward",
)


@MODE.on_subject
def mode(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the modules that ran."""
    seen = called(bench)
    live = [n for n, call in enumerate(seen.calls) if call.live]
    if not live:
        return
    first = seen.calls[live[0]]
    is_all = len(live) == len(seen.calls)
    is_before = live == list(range(len(live))) and not is_all and 2 * len(live) <= len(seen.calls)
    say = MODE.fail if is_all else MODE.note if is_before else MODE.warn
    names = ", ".join(first.live[:3]) + (" …" if len(first.live) > 3 else "")
    yield say(
        value=len(live) / len(seen.calls),
        limit=0.0,
        where=first.where,
        evidence=f"in {len(live)} of {len(seen.calls)} calls of the model in evaluate() "
        f"{len(first.live)} of {len(first.used)} modules were in train mode: {names}",
    )


@BUFFERS.on_subject
def buffers(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare them."""
    seen = called(bench)
    names = seen.buffers_changed
    if not names:
        return
    is_norm = any(name.rpartition(".")[2].startswith("running_") for name in names)
    kinds = dict(bench.model().named_buffers())
    floats = [n for n in names if n in kinds and kinds[n].is_floating_point()]
    say = BUFFERS.fail if is_norm else BUFFERS.warn if floats else BUFFERS.note
    yield say(
        value=float(len(names)),
        limit=0.0,
        where=(floats or list(names))[0],
        evidence=f"{len(names)} buffers differ after evaluate(): {', '.join(names[:3])}",
    )


@PARAMETERS.on_subject
def parameters(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare them."""
    names = called(bench).parameters_changed
    if names:
        yield PARAMETERS.fail(
            value=float(len(names)),
            limit=0.0,
            where=names[0],
            evidence=f"{len(names)} parameters differ after evaluate(): {', '.join(names[:3])}",
        )


@GRADIENTS.on_subject
def gradients(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the calls."""
    seen = called(bench)
    found = [call for call in seen.calls if call.grad_enabled]
    if found:
        yield GRADIENTS.note(
            value=len(found) / len(seen.calls),
            limit=0.0,
            where=found[0].where,
            evidence=f"{len(found)} of {len(seen.calls)} calls of the model had gradients on",
        )
