"""Values that are not numbers, or too large or small for their type, in what is delivered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.book.given import newest_cards
from labbook.checks.batch import Batch, leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.passes import Pass, is_dense, place_of_data, train_pass, val_pass
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

if TYPE_CHECKING:
    from torch import Tensor

_HALF_MAX = 65504.0
"""The largest finite number of float16."""

NONFINITE = Rule(
    "data/nonfinite",
    kind="free",
    stage="data",
    says="the data holds NaN or infinity",
    formula="any NaN or Inf in inputs or targets of the first 10,000 examples; fail when loss or "
    "gradients of such a batch are not finite either, else note",
    needs=("loader",),
    advice="know your data! if you don't, how will you know if your model does?",
    causes=(
        "a division by a standard deviation of zero, or a logarithm of zero, in the transform",
        "missing values that were read as NaN",
    ),
    fix="find these examples and clean them: torch.isfinite(x).all(), or torch.nan_to_num(x, 0.0)",
    false_positives="missing values that the model or the loss masks: then the loss is finite, and "
    "it is a note",
    source="isfinite of everything delivered",
)


@NONFINITE.on_subject
def nonfinite(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at every tensor of both loaders."""
    passes = [bench.shared(train_pass)]
    if bench.subject.val is not None:
        passes.append(bench.shared(val_pass))
    for seen in passes:
        bad, batch, what = _not_finite(seen)
        if not bad or batch is None:
            continue
        is_handled = _is_handled(bench, batch)
        say = NONFINITE.note if is_handled else NONFINITE.fail
        yield say(
            value=float(len(bad)),
            limit=0.0,
            where=place_of_data(bench, seen.which),
            evidence=f"NaN or Inf in the {what} of {len(bad)} of {seen.n} examples of "
            f"{seen.which}: {_named(seen, bad)}"
            + ("; loss and gradients are finite all the same" if is_handled else ""),
        )


def _not_finite(seen: Pass) -> tuple[list[tuple[int, int]], Batch | None, str]:
    """(batch, row) of each example, the first such batch, and whether inputs or targets."""
    bad: list[tuple[int, int]] = []
    first: Batch | None = None
    what: set[str] = set()
    for at, batch in enumerate(seen.batches):
        rows: set[int] = set()
        for name, value in (("inputs", batch.inputs), ("targets", batch.target)):
            found = set().union(*(_rows(t, batch.n) for t in leaves(value)))
            rows |= found
            what |= {name} if found else set()
        bad += [(at, row) for row in sorted(rows)]
        first = first or (batch if rows else None)
    both = what == {"inputs", "targets"}
    return bad, first, "inputs and targets" if both else next(iter(what), "")


def _rows(tensor: Tensor, n: int) -> set[int]:
    if not is_dense(tensor) or not (tensor.is_floating_point() or tensor.is_complex()):
        return set()
    finite = tensor.detach().isfinite()
    if bool(finite.all()):
        return set()
    if tensor.ndim == 0 or len(tensor) != n:
        return {0}
    return {int(i) for i in (~finite.reshape(n, -1).all(1)).nonzero()[:, 0]}


def _named(seen: Pass, places: list[tuple[int, int]]) -> str:
    names = [seen.index(*place) for place in places[:6]]
    return ", ".join(names) + (", …" if len(places) > 6 else "")


def _is_handled(bench: Bench, batch: Batch) -> bool:
    """Whether the user's own model and loss mask such values."""
    try:
        model = bench.model()
        loss = bench.run(model, batch).loss
        if not bool(loss.detach().isfinite()):
            return False
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
    except Cannot:
        return False
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return all(bool(g.isfinite().all()) for g in grads)


@NONFINITE.on_run
def nonfinite_given(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Look at what was counted of the batches a model was given."""
    found = newest_cards(run.run.facts)
    if not found:
        raise Cannot("what the model was given was not recorded (run.inspect)")
    for card in found:
        for mode in filter(None, (card.train, card.eval)):
            for given in (*mode.inputs, *mode.targets):
                n = given.n_nan + given.n_inf
                if n:
                    yield NONFINITE.warn(
                        value=float(n),
                        limit=0.0,
                        where=f"{card.name}: {given.name}",
                        evidence=f"{given.name}: {given.n_nan} NaN and {given.n_inf} infinite of "
                        f"{given.n} values",
                    )


HALF = Rule(
    "data/half-overflow",
    kind="free",
    stage="data",
    says="half-precision inputs are near the limits of their type",
    formula="float16 inputs: |x| > top * 65504 or sd < low",
    limits={"top": 0.5, "low": 6e-5},
    needs=("loader",),
    advice="type: check for casting, especially to lower precision",
    causes=("inputs are cast to half before they are standardized",),
    fix="standardize in float32, and cast to half afterwards: ((x.float() - mean) / sd).half()",
    false_positives="none known",
    follows=("data/nonfinite",),
    source="IEEE 754 binary16: largest 65504, smallest normal 6.1e-5",
)


@HALF.on_subject
def half(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at inputs of float16."""
    import torch

    seen = bench.shared(train_pass)
    parts = [x.float().reshape(-1) for x in seen.xs if x.dtype is torch.float16]
    if not parts:
        return
    values = torch.cat(parts)
    values = values[values.isfinite()]
    if not len(values):
        return
    top, sd = float(values.abs().max()), float(values.std(correction=0))
    if top > limits["top"] * _HALF_MAX or 0 < sd < limits["low"]:
        yield HALF.note(
            value=top,
            limit=limits["top"] * _HALF_MAX,
            where=place_of_data(bench, "loader"),
            evidence=f"float16 inputs reach {top:.3g}, with a standard deviation of {sd:.3g}",
        )
