"""Short trainings with the user's model, loss and optimizer, shared by the rules that need them.

Batches are read once and kept, so that two trainings see the same ones in the same order. Learning
rates stay what the optimizer begins with: no schedule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch, mapped
from labbook.checks.bench import Bench, example_mean
from labbook.checks.rule import Cannot
from labbook.client.parts import TARGET_NAMES

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

__all__ = ["STEPS", "Training", "full_training", "head_training", "held_out", "without_inputs",
           "zeroed"]  # fmt: skip

STEPS = 150
"""Steps after which a training is first judged; it goes on to three times as many."""

SECONDS = 3.0
"""Of one training to `STEPS` steps; one that would take longer cannot be done."""

VALIDATION = 512
"""Examples that are held out at most."""


@dataclass
class Training:
    """Losses of the steps, and the held-out loss (an example mean) after some of them.

    `state` holds the model and optimizer, to go on with.
    """

    losses: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    state: Any = field(default=None, repr=False)

    @property
    def best(self) -> float:
        """The lowest held-out loss; NaN where one was not finite."""
        return min(self.held_out) if all(map(math.isfinite, self.held_out)) else math.nan


@dataclass(frozen=True)
class _Data:
    training: list[Batch]
    held_out: list[Batch]


def held_out(bench: Bench) -> _Data:
    """Batches to train on and others to judge by; `bench.shared` it.

    The first of `val`, else every fifth of the loader's. Raises `Cannot` where there are too few.
    """
    batches = bench.first(STEPS)
    if bench.subject.val is not None:
        n = max(1, -(-VALIDATION // max(1, bench.val_batch().n)))
        return _Data(batches, bench.first(n, "val"))
    if len(batches) < 5:
        raise Cannot("no val= given, and the loader has fewer than 5 batches")
    others = [b for n, b in enumerate(batches) if n % 5 != 4]
    return _Data(others, batches[4::5])


def full_training(bench: Bench) -> Training:
    """The user's model and optimizer, for `STEPS` steps; `bench.shared` it."""
    return _begun(bench, bench.model(), _same)


def zeroed(bench: Bench) -> Training:
    """The same with nothing in the inputs, in training and when judged; `bench.shared` it."""
    return _begun(bench, bench.model(), without_inputs)


def head_training(bench: Bench) -> Training:
    """The same with all parameters but those of the last module fixed; `bench.shared` it.

    Raises `Cannot` where the last module is all there is, or shares its weights.
    """
    model = bench.model()
    head = _last_module(bench, model)
    own = {id(p) for p in head.parameters()}
    inside = {id(m) for m in head.modules()}
    others = [m for m in model.modules() if id(m) not in inside]
    if any(id(p) in own for m in others for p in m.parameters(recurse=False)):
        raise Cannot("the last module shares its weights with others")
    rest = [p for p in model.parameters() if id(p) not in own and p.requires_grad]
    if not rest:
        raise Cannot("the last module with parameters is the whole model")
    optimizer = bench.stepper(model)
    for p in rest:
        p.requires_grad_(False)
    return _begun(bench, model, _same, optimizer)


def _begun(
    bench: Bench,
    model: nn.Module,
    change: Callable[[Batch], Batch],
    optimizer: Optimizer | None = None,
) -> Training:
    training = Training()
    training.state = (model.train(), optimizer or bench.stepper(model), change)
    go_on(bench, training, STEPS)
    return training


def go_on(bench: Bench, training: Training, n_steps: int) -> None:
    """That many steps more, judged three times. Raises `Cannot` where it takes too long."""
    data = bench.shared(held_out)
    model, optimizer, change = training.state
    started = time.monotonic()
    for n in range(n_steps):
        bench.tick()
        batch = change(data.training[len(training.losses) % len(data.training)])
        training.losses.append(bench.step(model, optimizer, batch))
        if n == 9 and (time.monotonic() - started) * n_steps / 10 > SECONDS * n_steps / STEPS:
            raise Cannot(f"{n_steps} steps would take more than {SECONDS:.0f} s")
        if (n + 1) % max(1, n_steps // 3) == 0:
            training.held_out.append(_judged(bench, model, data.held_out, change))


def _judged(
    bench: Bench, model: nn.Module, batches: Sequence[Batch], change: Callable[[Batch], Batch]
) -> float:
    import torch

    flags = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return example_mean(
                (float(bench.run(model, change(batch)).loss), batch.n) for batch in batches
            )
    finally:
        for module, training in flags:
            module.training = training


def _same(batch: Batch) -> Batch:
    return batch


def without_inputs(batch: Batch) -> Batch:
    """The same targets with empty inputs: zeros, of integers one id, masks as they are."""
    import torch

    def emptied(tensor: Tensor) -> Tensor:
        if tensor.dtype == torch.bool or not tensor.numel():
            return tensor
        if tensor.is_floating_point():
            return torch.zeros_like(tensor)
        return torch.full_like(tensor, int(tensor.reshape(-1)[0]))

    kwargs = {
        name: part if name in TARGET_NAMES or "mask" in name else mapped(part, emptied)
        for name, part in batch.kwargs.items()
    }
    return Batch(mapped(batch.args, emptied), kwargs, batch.target, batch.raw)


def _last_module(bench: Bench, model: nn.Module) -> nn.Module:
    import torch

    ran: list[nn.Module] = []
    handles = [
        part.register_forward_hook(lambda module, args, output: ran.append(module))
        for part in model.modules()
        if any(True for _ in part.parameters(recurse=False))
    ]
    try:
        with torch.no_grad():
            bench.forward(model, bench.batch)
    finally:
        for handle in handles:
            handle.remove()
    if not ran:
        raise Cannot("no module with parameters ran")
    return ran[-1]
