"""What goes into the model has a say in what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch, leaves, mapped
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.graph import pulled
from labbook.checks.mixing import stepped
from labbook.checks.models import as_made
from labbook.checks.naming import listed
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.client.undisturbed import seed_all

if TYPE_CHECKING:
    from torch import Tensor, nn

INPUT = Rule(
    "grad/input",
    kind="probe",
    stage="gradient",
    says="the output does not depend on the input",
    formula="after 3 steps, in eval and in train mode: the rows of one input exchanged, no output "
    "changes a bit, and ∂output/∂input = 0; whole numbers and masks beside another input: a note; "
    "single output units that are the same for all examples: a note",
    needs=("loader",),
    follows=(
        "grad/zero",
        "grad/none",
        "optim/*",
        "model/weights-nonfinite",
        "loss/nonfinite*",
        "init/nonfinite*",
        "init/constant-output*",
        "data/*",
    ),
    advice="zero out the data and check that results are worse",
    causes=(
        "the input is overwritten, zeroed or never used in forward()",
        "one input is used where another was meant",
        "units that are all dead or saturated",
    ),
    fix="follow the input through forward() line by line",
    false_positives="inputs that matter to the loss alone",
    source="exact",
)


@INPUT.on_subject
def unheard(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Exchange the rows of each input in turn."""
    found = bench.shared(disconnected)
    names = [name for name, _ in found]
    alarming = [name for name, is_sure in found if is_sure]
    if names:
        say = INPUT.fail if alarming else INPUT.note
        yield say(
            value=0.0,
            limit=0.0,
            where=place_of(type(as_made(bench))),
            evidence=f"exchanging the rows of {listed(alarming or names)} changes no output, and "
            "its gradient is 0",
        )
        return
    yield from _units(bench)


def disconnected(bench: Bench) -> list[tuple[str, bool]]:
    """Inputs without a say: what they are called, and whether that is surely wrong.

    `bench.shared` it.
    """
    batch = bench.batch
    if batch.n < 2:
        raise Cannot("too few examples in a batch")
    model = stepped(bench)
    named = _named(batch)
    found: list[tuple[str, bool]] = []
    can_tell = False
    for name, x in named:
        other = _exchanged(x, batch.n)
        if other is None:
            continue
        can_tell = True
        if any(_has_say(bench, m, batch, x, other) for m in (model, stepped(bench).train())):
            continue
        is_mask = not x.is_floating_point() or bool(((x == 0) | (x == 1)).all())
        found.append((name, len(named) == 1 or not is_mask))
    if not can_tell:
        raise Cannot("all examples are the same")
    if len(found) == len(named):
        return [(name, True) for name, _ in found]
    return found


def _named(batch: Batch) -> list[tuple[str, Tensor]]:
    """The inputs with their names, the target aside."""
    targets = {id(t) for t in leaves(batch.target)}
    found = [(f"input {n}", t) for n, t in enumerate(leaves(batch.args))]
    found += [(name, t) for name, part in batch.kwargs.items() for t in leaves(part)]
    # a lone input is its own target
    return [(name, t) for name, t in found if id(t) not in targets] or found[:1]


def _exchanged(x: Tensor, n: int) -> Tensor | None:
    import torch

    if not x.ndim or len(x) != n:
        return None
    other = x.roll(1, 0)
    return None if torch.equal(other, x) else other


def _has_say(bench: Bench, model: nn.Module, batch: Batch, x: Tensor, other: Tensor) -> bool:
    import torch

    with torch.no_grad():
        one, changed = (_outputs(bench, model, b) for b in (batch, _with(batch, x, other)))
    if len(one) != len(changed):
        return True
    if not all(torch.equal(a, b) for a, b in zip(one, changed, strict=True)):
        return True
    if not x.is_floating_point():
        return False
    opened = x.detach().clone().requires_grad_()
    outputs = [t for t in _outputs(bench, model, _with(batch, x, opened)) if t.requires_grad]
    if not outputs:
        return False
    generator = torch.Generator().manual_seed(bench.seed)
    v = [torch.randn(t.shape, generator=generator).to(t) for t in outputs]
    [gradient] = pulled(outputs, [opened], v)
    return gradient is not None and bool(gradient.any())


def _with(batch: Batch, x: Tensor, other: Tensor) -> Batch:
    def change(t: Tensor) -> Tensor:
        return other if t is x else t

    return Batch(mapped(batch.args, change), mapped(batch.kwargs, change), batch.target, batch.raw)


def _outputs(bench: Bench, model: nn.Module, batch: Batch) -> list[Any]:
    seed_all(bench.seed)
    output = bench.forward(model, batch)
    kept = {id(t): t for t in (bench.tensor(output), *leaves(output)) if t.is_floating_point()}
    return list(kept.values())


def _units(bench: Bench) -> Iterator[Finding]:
    import torch

    model = stepped(bench)
    with torch.no_grad():
        seed_all(bench.seed)
        output = bench.tensor(bench.forward(model, bench.batch))
    if output.ndim != 2 or len(output) < 8 or output.shape[1] < 2:
        return
    same = (output == output[0]).all(0)
    stuck = [int(k) for k in same.nonzero().flatten()]
    if stuck:
        yield INPUT.note(
            value=float(len(stuck)),
            limit=0.0,
            where=place_of(type(model)),
            evidence=f"{len(stuck)} of {output.shape[1]} output units are the same for all "
            f"{len(output)} examples: {listed([str(k) for k in stuck])}",
        )
