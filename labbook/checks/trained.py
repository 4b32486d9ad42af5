"""What the first steps of a training do to each parameter: gradients, and whether it moves.

Invariant: the figures are those of the user's own loop where the subject has one, else those of
plain steps with their optimizer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from labbook.checks.bench import Bench, UserError
from labbook.checks.graph import Calls, calls_heard
from labbook.checks.rule import Cannot
from labbook.checks.watched import watch

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

__all__ = ["STEPS", "Seen", "Trained", "plain", "trained"]

STEPS = 6
"""Optimizer steps: branches that start at zero are open after the first."""


@dataclass
class Seen:
    """A parameter: the backward passes that reached it, and its largest gradient (absolute).

    `start` is its value before; `rms` the root of the mean square of its largest gradient.
    """

    name: str
    parameter: Tensor
    start: Tensor
    was_frozen: bool
    received: int = 0
    largest: float = 0.0
    rms: float = 0.0
    is_finite: bool = True
    is_new: bool = False  # the loop put it into the model: its gradients were not seen

    @property
    def has_changed(self) -> bool:
        """Whether its value is another one now, by an optimizer or by hand."""
        import torch

        now = self.parameter.detach()
        return now.shape != self.start.shape or not torch.equal(now, self.start)

    @property
    def is_frozen(self) -> bool:
        """Whether it was made or left without gradient and did not move."""
        frozen = self.was_frozen or not self.parameter.requires_grad
        return frozen and not self.received and not self.has_changed


@dataclass
class Trained:
    """A model after its first steps; `seen` by name, in the model's order.

    `held` are the `id`s of what the subject's optimizer and every other that stepped hold.
    `by_train` when the user's own loop took the steps, `error` what that loop raised.
    """

    model: nn.Module
    optimizer: Optimizer | None
    by_train: bool
    seen: dict[str, Seen] = field(default_factory=dict)
    calls: Calls = field(default_factory=Calls)
    held: set[int] = field(default_factory=set)
    rates: list[tuple[float, ...]] = field(default_factory=list)
    n_backward: int = 0
    n_steps: int = 0
    n_ready: int = 0  # steps that found a gradient that is not zero
    error: UserError | None = None

    def holds(self, seen: Seen) -> bool:
        """Whether some optimizer holds this parameter; True where there is no optimizer."""
        return self.optimizer is None or id(seen.parameter) in self.held


def trained(bench: Bench) -> Trained:
    """The user's `train` for `STEPS` steps, else plain steps; `bench.shared` it.

    Raises `Cannot` where no backward pass is possible.
    """
    if bench.subject.train is not None:
        found = _by_train(bench)
        if found is not None and (found.n_backward or found.error is None):
            return found
    return bench.shared(plain)


def _by_train(bench: Bench) -> Trained | None:
    model = bench.model()
    try:
        optimizer = bench.optimizer(model)
    except Cannot:
        return None
    found = Trained(model, optimizer, by_train=True)
    with _looked_at(found, bench):
        seen = watch(bench, model, optimizer, STEPS)
    found.error = seen.error
    found.n_backward = max(found.n_backward, len(seen.backwards))
    return found


def plain(bench: Bench) -> Trained:
    """Plain steps over the first four batches, with the user's optimizer; `bench.shared` it."""
    model = bench.model()
    own = None
    try:
        own = bench.optimizer(model)
        optimizer = own
    except Cannot:
        optimizer = bench.stepper(model) if bench.subject.optimizer is None else _adam(model)
    found = Trained(model, own, by_train=False)
    with _looked_at(found, bench):
        for batch in bench.first(4):
            bench.tick()
            outcome = bench.run(model, batch)
            if not outcome.loss.requires_grad:
                raise Cannot("the loss does not depend on any trainable parameter")
            optimizer.zero_grad()
            bench._users("backward()", outcome.loss.backward)
            found.n_backward += 1
            bench._users("optimizer.step()", optimizer.step)
    return found


def _adam(model: nn.Module) -> Optimizer:
    import torch

    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-3)


def copied(model: nn.Module) -> nn.Module:
    """A copy, without the hooks of this look. Raises `Cannot` where it cannot be copied."""
    try:
        made = copy.deepcopy(model)
    except Exception as error:  # whatever a module's parts raise
        raise Cannot(f"the model cannot be copied: {error}") from error
    for parameter in made.parameters():
        parameter.grad = None
    return made


@contextmanager
def _looked_at(found: Trained, bench: Bench) -> Iterator[None]:
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    with ExitStack() as after:
        for name, parameter in found.model.named_parameters():
            seen = Seen(name, parameter, parameter.detach().clone(), not parameter.requires_grad)
            found.seen[name] = seen
            if parameter.requires_grad:
                hook: Any = parameter.register_hook
                after.callback(hook(partial(_gradient, seen)).remove)
        if found.optimizer is not None:
            found.held |= _ids(found.optimizer)
        before = partial(_before_step, found)
        after.callback(register_optimizer_step_pre_hook(before).remove)
        if not _is_compiled(found.model):
            after.enter_context(_while_forward(found))
            after.enter_context(calls_heard(found.calls))
        yield
    for name, parameter in found.model.named_parameters():  # what the loop put in meanwhile
        if name not in found.seen or found.seen[name].parameter is not parameter:
            start = parameter.detach().clone()
            found.seen[name] = Seen(
                name, parameter, start, not parameter.requires_grad, is_new=True
            )
    if found.optimizer is not None:
        found.held |= _ids(found.optimizer)


@contextmanager
def _while_forward(found: Trained) -> Iterator[None]:
    """Only what modules do is a use of their parameters: an optimizer gets them all."""
    depth = 0

    def enter(*_: Any) -> None:
        nonlocal depth
        depth += 1
        found.calls.is_open = True

    def leave(*_: Any) -> None:
        nonlocal depth
        depth -= 1
        found.calls.is_open = depth > 0

    found.calls.is_open = False
    with ExitStack() as after:
        for module in found.model.modules():
            after.callback(module.register_forward_pre_hook(enter).remove)
            after.callback(module.register_forward_hook(leave, always_call=True).remove)
        yield


def _gradient(seen: Seen, gradient: Any) -> None:
    gradient = gradient.detach()
    if gradient.is_sparse:
        gradient = gradient.coalesce().values()
    seen.received += 1
    if not gradient.numel():
        return
    largest = float(gradient.abs().max())
    if not math.isfinite(largest):
        seen.is_finite = False
        return
    seen.largest = max(seen.largest, largest)
    seen.rms = max(seen.rms, float(gradient.double().pow(2).mean().sqrt()))


def _before_step(found: Trained, optimizer: Any, args: Any, kwargs: Any) -> None:
    found.held |= _ids(optimizer)
    found.n_steps += 1
    if optimizer is found.optimizer:
        found.rates.append(_rates(optimizer))
    gradients = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
    found.n_ready += any(_is_any(g) for g in gradients)


def _is_any(gradient: Any) -> bool:
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    return bool(values.any())


def _rates(optimizer: Any) -> tuple[float, ...]:
    return tuple(float(group.get("lr", float("nan"))) for group in optimizer.param_groups)


def _ids(optimizer: Any) -> set[int]:
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def _is_compiled(model: nn.Module) -> bool:
    """Compiled and scripted code is not to be listened to."""
    kinds = {type(module).__name__ for module in model.modules()}
    return bool(kinds & {"OptimizedModule", "RecursiveScriptModule", "TopLevelTracedModule"})
