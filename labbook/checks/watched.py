"""The user's own training loop, run for a few steps on a copy, and looked at from outside.

Nothing of the loop is changed: hooks see what goes into the model, which mode it is in, what the
root of each backward pass is, and what the optimizer finds in `.grad`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench, UserError
from labbook.checks.place import caller
from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

__all__ = ["STEPS", "Backward", "Forward", "Step", "Watched", "watch", "watched"]

STEPS = 24
"""Optimizer steps that `watched` asks the user's loop for."""

SECONDS = 20.0
"""A loop that takes longer is stopped after the step in hand."""


@dataclass(frozen=True)
class Forward:
    """One call of the model: optimizer steps before it, its mode, what it was given.

    `modes`: the names of modules with a mode of their own (norm, dropout) that were in eval mode.
    `first` is the first input tensor (kept for the first 8 calls only).
    """

    step: int
    training: bool
    grad_enabled: bool
    modes: tuple[str, ...]
    n: int
    first: Tensor | None
    where: str


@dataclass(frozen=True)
class Backward:
    """One backward pass: optimizer steps before it, the root's value, whether gradients were stale.

    `stale`: parameters' gradients of an earlier step were still there when this pass, the first
    since the last optimizer step, began.
    """

    step: int
    value: float
    stale: bool
    where: str


@dataclass(frozen=True)
class Step:
    """One optimizer step: learning rates of its groups, norms before and of the update."""

    rates: tuple[float, ...]
    gradient_norm: float
    update_norm: float
    where: str


@dataclass
class Watched:
    """What was seen. `error` is what the loop raised, if it did; `stopped` when it did not end."""

    model: nn.Module
    optimizer: Optimizer
    n_steps: int
    forwards: list[Forward] = field(default_factory=list)
    backwards: list[Backward] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    error: UserError | None = None
    stopped: bool = False
    seconds: float = 0.0

    @property
    def losses(self) -> list[float]:
        """The root's value of each backward pass, in order."""
        return [b.value for b in self.backwards]

    @property
    def accumulation(self) -> int:
        """Backward passes an optimizer step, the median; 0 where there was no step."""
        if not self.steps:
            return 0
        counts = [0] * len(self.steps)
        for backward in self.backwards:
            if backward.step < len(counts):
                counts[backward.step] += 1
        return sorted(counts)[len(counts) // 2]


class _Enough(BaseException):
    """Ends a loop that does not stop by itself; not an Exception, so that few catch it."""


def watched(bench: Bench) -> Watched:
    """The user's `train` for `STEPS` steps on a new copy; `bench.shared` it.

    Raises `Cannot` without `train=` or `optimizer=`, and when the loop raised before its first
    step. What a longer loop raised later is in `error`.
    """
    model = bench.model()
    optimizer = bench.optimizer(model)
    seen = watch(bench, model, optimizer, STEPS)
    if seen.error is not None and not seen.steps:
        raise seen.error
    return seen


def watch(
    bench: Bench,
    model: nn.Module,
    optimizer: Optimizer,
    n_steps: int,
    before: Callable[[nn.Module, Any, Any], Any] | None = None,
) -> Watched:
    """Run the user's `train(model, optimizer, n_steps)` on this model and look on.

    `before` is a forward pre-hook with keyword arguments (`register_forward_pre_hook(…,
    with_kwargs=True)`), to change what the model is given.
    """
    train = bench.subject.train
    if train is None:
        raise Cannot("no train= given")
    seen = Watched(model, optimizer, n_steps)
    started = time.monotonic()
    with ExitStack() as after:
        if before is not None:
            handle = model.register_forward_pre_hook(before, with_kwargs=True)
            after.callback(handle.remove)
        after.enter_context(_watching(seen, bench, started))
        try:
            train(model, optimizer, n_steps)
        except _Enough:
            seen.stopped = True
        except Cannot:
            raise
        except Exception as error:  # whatever the user's loop raises
            seen.error = UserError("train()", error)
    seen.seconds = time.monotonic() - started
    return seen


@contextmanager
def _watching(seen: Watched, bench: Bench, started: float) -> Iterator[None]:
    from torch.optim.optimizer import (
        register_optimizer_step_post_hook,
        register_optimizer_step_pre_hook,
    )

    eye = _Eye(seen, bench, started)
    with ExitStack() as after:
        model = seen.model
        after.callback(model.register_forward_pre_hook(eye.forward, with_kwargs=True).remove)
        after.callback(register_optimizer_step_pre_hook(eye.before_step).remove)
        after.callback(register_optimizer_step_post_hook(eye.after_step).remove)
        after.enter_context(_backward_seen(eye.backward))
        yield


@contextmanager
def _backward_seen(see: Callable[[Any], None]) -> Iterator[None]:
    """Call `see(root)` before each backward pass begins."""
    import torch

    original = torch.Tensor.backward

    def backward(self: Any, *args: Any, **kwargs: Any) -> Any:
        see(self)
        return original(self, *args, **kwargs)  # type: ignore[no-untyped-call]

    torch.Tensor.backward = backward  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.backward = original  # type: ignore[method-assign]


class _Eye:
    """The hooks; holds what they need between calls."""

    def __init__(self, seen: Watched, bench: Bench, started: float) -> None:
        self.seen = seen
        self.bench = bench
        self.started = started
        self.is_first = True  # backward since the last optimizer step
        self.kept: list[tuple[Any, Any]] = []
        self.gradient_norm = 0.0

    def forward(self, model: Any, args: Any, kwargs: Any) -> None:
        import torch

        tensors = list(leaves((args, kwargs)))
        first = tensors[0] if tensors else None
        keeps = first is not None and len(self.seen.forwards) < 8
        self.seen.forwards.append(
            Forward(
                step=len(self.seen.steps),
                training=model.training,
                grad_enabled=torch.is_grad_enabled(),
                modes=tuple(n for n, m in model.named_modules() if _has_mode(m) and not m.training),
                n=len(first) if first is not None and first.ndim else 0,
                first=first.detach().clone() if keeps and first is not None else None,
                where=caller(2),
            )
        )

    def backward(self, root: Any) -> None:
        stale = False
        if self.is_first and self.seen.steps:
            stale = any(p.grad is not None and bool(p.grad.any()) for p in self._parameters())
        self.is_first = False
        value = float(root.detach().double().sum()) if root.numel() == 1 else float("nan")
        self.seen.backwards.append(Backward(len(self.seen.steps), value, stale, caller(2)))

    def _parameters(self) -> Iterator[Any]:
        for group in self.seen.optimizer.param_groups:
            yield from group["params"]

    def before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if optimizer is not self.seen.optimizer:
            return
        params = [p for p in self._parameters() if p.grad is not None]
        self.gradient_norm = _norm([p.grad for p in params])
        self.kept = [(p, p.detach().clone()) for p in params]

    def after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.is_first = True
        if optimizer is not self.seen.optimizer:
            return
        update = _norm([p.detach() - before for p, before in self.kept])
        rates = tuple(float(group.get("lr", float("nan"))) for group in optimizer.param_groups)
        self.seen.steps.append(Step(rates, self.gradient_norm, update, caller(2)))
        self.kept = []
        took = time.monotonic() - self.started
        if len(self.seen.steps) >= 2 * self.seen.n_steps or took > SECONDS:
            raise _Enough
        if self.bench.seconds_left < 0:
            raise _Enough


def _has_mode(module: Any) -> bool:
    """Whether a module does something else in eval mode: norms with statistics, dropout."""
    kind = type(module).__name__
    return "Dropout" in kind or getattr(module, "running_mean", None) is not None


def _norm(tensors: list[Any]) -> float:
    import torch

    total = torch.zeros((), dtype=torch.float64)
    for tensor in tensors:
        total += tensor.detach().double().pow(2).sum().cpu()
    return float(total.sqrt())
