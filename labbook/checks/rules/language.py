"""Language models: an output sees no token after its own, and is to predict the next one."""

from __future__ import annotations

from collections.abc import Iterator

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.mixing import stepped
from labbook.checks.models import as_made, in_eval
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.tokens import Tokens, future_seen, predicted, tokens

LEAK = Rule(
    "lm/future-leak",
    kind="probe",
    stage="model",
    says="an output sees the token that it is to predict",
    formula="targets are the inputs shifted, the loss compares output t with token t+1: outputs up "
    "to t change by more than `relative` when only tokens after t change, in eval mode",
    limits={"relative": 1e-5},
    needs=("loader",),
    follows=("model/batch-mixing", "model/batch-dim", "lm/target-not-shifted"),
    advice="use backprop to chart dependencies: time t only depends on 1..t-1",
    causes=(
        "no causal mask, or one that is turned the wrong way",
        "a bidirectional recurrent layer",
        "a convolution padded on both sides",
        "a norm or mean over time",
    ),
    fix="nn.Transformer.generate_square_subsequent_mask(T), is_causal=True, left padding",
    false_positives="models of masked tokens, which are left alone: their targets are not shifted",
    source="Karpathy, A Recipe for Training Neural Networks",
)

SHIFT = Rule(
    "lm/target-not-shifted",
    kind="probe",
    stage="target",
    says="a causal model is not asked for the next token",
    formula="the loss compares output t with token t + k, found by changing one target: k = 0 (the "
    "token it was given) and k = 2 (shifted twice) fail, k = −1 warns, others are a note; only "
    "where no output sees later tokens",
    needs=("loader",),
    advice="inspect inputs and targets as they are given to the model and the loss",
    causes=(
        "targets are the inputs themselves, and the loss does not shift them",
        "dataset and model both shift",
        "the inputs were shifted instead of the targets",
    ),
    fix="x, y = tokens[:, :-1], tokens[:, 1:]   (and no shift in the loss)",
    false_positives="tasks of copying or delaying a sequence",
    source="Karpathy, A Recipe for Training Neural Networks",
)


def _ahead(bench: Bench) -> tuple[Tokens, int]:
    found = bench.shared(tokens)
    ahead = bench.shared(_ahead_of)
    if ahead is None:
        raise Cannot("which target an output is compared with is not clear")
    return found, ahead


def _ahead_of(bench: Bench) -> int | None:
    return predicted(bench, bench.shared(tokens))


def _seen(bench: Bench) -> float:
    """How much of later tokens the outputs see."""
    found = bench.shared(tokens)
    seen = future_seen(bench, in_eval(bench), found)
    if seen is None:
        seen = future_seen(bench, stepped(bench), found)
    if seen is None:
        raise Cannot("the output is the same for every token")
    return seen


def _place(bench: Bench) -> str:
    return place_of(type(as_made(bench)))


@LEAK.on_subject
def leak(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Change the later tokens, and look at the earlier outputs."""
    _, ahead = _ahead(bench)
    if ahead < 1:
        raise Cannot("the outputs are not asked for later tokens")
    seen = bench.shared(_seen)
    if seen > limits["relative"]:
        yield LEAK.fail(
            value=seen,
            limit=limits["relative"],
            where=_place(bench),
            evidence=f"other tokens after t move the outputs up to t by {seen:.2g} of their range",
        )


@SHIFT.on_subject
def shift(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at which token each output is asked for."""
    found, ahead = _ahead(bench)
    if ahead == 1:
        return
    if ahead < 1 and bench.shared(_seen) > 1e-5:
        raise Cannot("the outputs see all tokens: this is no model of the next one")
    if ahead > 1 and bench.shared(_seen) > 1e-5:
        raise Cannot("the outputs see later tokens")
    what = {
        0: "the token that it was given",
        2: "the token after the next",
        -1: "the token before",
    }.get(ahead, f"token t{ahead:+d}")
    say = SHIFT.fail if ahead in {0, 2} else SHIFT.warn if ahead == -1 else SHIFT.note
    yield say(
        value=float(ahead),
        limit=1.0,
        where=_target_place(bench),
        evidence=f"output t is compared with {what} (targets shifted by {found.shifts[0]}, "
        f"the loss by {ahead - found.shifts[0]})",
    )


def _target_place(bench: Bench) -> str:
    place = place_of(bench.subject.loss) if bench.subject.loss is not None else ""
    return place if ":" in place else "the loader's targets"
