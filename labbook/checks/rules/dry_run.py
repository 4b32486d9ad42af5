"""Does it run at all: a few steps, one evaluation, the short last batch, a checkpoint."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from labbook.checks.batch import Batch, leaves
from labbook.checks.bench import Bench, UserError
from labbook.checks.evaluated import evaluated
from labbook.checks.finding import Finding
from labbook.checks.place import place_of_error
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.watched import Watched, loop

if TYPE_CHECKING:
    import torch

RUN = Rule(
    "loop/dry-run",
    kind="probe",
    stage="run",
    says="the program raises before it has trained and evaluated once",
    formula="train() for some steps (or one plain step), evaluate() once, and a step on the "
    "shorter last batch: none raises",
    follows=(
        "loop/no-grad",
        "loop/scaler",
        "data/target-*",
        "data/empty-target",
        "loss/broadcast",
        "init/nonfinite",
    ),
    advice="it's heartbreaking to wait an entire epoch and … crash",
    fix="run the failing line by itself on one batch",
    source="Shelhamer, DIY Deep Learning; Lightning fast_dev_run",
)

CHECKPOINT = Rule(
    "loop/checkpoint",
    kind="probe",
    stage="model",
    says="a checkpoint does not hold all that the model's output depends on",
    formula="state_dict() through torch.save and torch.load into a newly made model: outputs in "
    "eval mode equal, to 1e-5 of their largest value",
    follows=("model/*", "loop/dry-run"),
    advice="save checkpoints at intervals and evaluate them offline",
    causes=(
        "a tensor is kept as a plain attribute: use register_buffer or nn.Parameter",
        "layers are kept in a list or dict: use nn.ModuleList or nn.ModuleDict",
    ),
    fix="register what the forward pass uses: nn.Parameter, register_buffer, nn.ModuleList",
    source="the round trip itself",
)


@RUN.on_subject
def dry_run(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """What raises is the finding; each part is tried by itself."""
    errors: list[UserError] = []
    seen: Watched | None = None
    try:
        if bench.subject.train is not None and bench.subject.optimizer is not None:
            seen = bench.shared(loop)
            errors += [seen.error] if seen.error is not None else []
        elif bench.subject.loader is not None:
            model = bench.model()
            bench.step(model, bench.stepper(model), bench.batch)
        else:
            raise Cannot("no train= and no loader= given")
        if not errors and bench.subject.evaluate is not None:
            bench.shared(evaluated)
        if not errors:
            _last_batch(bench, seen)
    except UserError as raised:
        errors.append(raised)
    for error in errors:
        yield RUN.fail(where=place_of_error(error.error), evidence=str(error))


def _last_batch(bench: Bench, seen: Watched | None) -> None:
    """A step on as many examples as the loader's last batch has, unless the loop was there."""
    loader = bench.subject.loader
    n = _examples(loader)
    size = getattr(loader, "batch_size", None)
    if not n or not size or getattr(loader, "drop_last", False) or n % size == 0 or n < size:
        return
    if seen is not None and len(seen.forwards) > -(-n // size):
        return
    model = bench.model().train()
    if bench.batch.n == size:
        bench.step(model, bench.stepper(model), bench.batch.take(list(range(n % size))))


def _examples(loader: object) -> int:
    sampler = getattr(loader, "sampler", None)
    try:
        return len(sampler)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return 0


@CHECKPOINT.on_subject
def checkpoint(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Save, load into another one, and compare."""
    import torch

    if bench.subject.loader is None:
        raise Cannot("no loader= given")
    batch = bench.batch
    first, second = bench.model().eval(), bench.model(bench.seed + 1).eval()
    if isinstance(bench.subject.model, torch.nn.Module):
        raise Cannot("model= is a module: give a function that makes it, to load into a new one")
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    try:
        second.load_state_dict(torch.load(file, weights_only=False))
    except (RuntimeError, KeyError) as error:
        text = " ".join(str(error).split())[:200]
        yield CHECKPOINT.fail(evidence=f"load_state_dict raised: {text}")
        return
    one, again, other = (_outputs(bench, m, batch) for m in (first, first, second))
    if _distance(one, again) > 0:
        raise Cannot("the model's output is random in eval mode")
    far = _distance(one, other)
    if far > 1e-5:
        yield CHECKPOINT.fail(
            value=far,
            limit=1e-5,
            where=type(first).__name__,
            evidence=f"after loading, outputs differ by {far:.2g} of their largest value",
        )


def _outputs(bench: Bench, model: torch.nn.Module, batch: Batch) -> list[torch.Tensor]:
    import torch

    from labbook.client.undisturbed import seed_all

    seed_all(bench.seed)
    with torch.no_grad():
        return [t.detach().double() for t in leaves(bench.forward(model, batch))]


def _distance(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The largest difference, over the largest value; infinite where shapes differ."""
    far = 0.0
    for a, b in zip(one, other, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if a.numel():
            far = max(far, float((a - b).abs().max()) / max(1e-12, float(a.abs().max())))
    return far
