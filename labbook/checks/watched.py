"""The user's own training loop, run for some steps on a copy, and looked at from outside.

Nothing of the loop is changed: hooks see what goes into the model, which mode it is in, what the
root of each backward pass is, and what each optimizer finds in `.grad`. Everything seen has a place
`at` in one order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook.checks.bench import Bench, UserError
from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

__all__ = ["STEPS", "Backward", "Event", "Forward", "Step", "Watched", "loop", "watch", "watched"]

STEPS = 24
"""Optimizer steps that `watched` asks the user's loop for, at least."""

MOST_STEPS = 96
"""And at most: two passes over a small loader show what a loop does between them."""


@dataclass(frozen=True)
class Forward:
    """One call of the model: optimizer steps before it, its mode, what it was given.

    `modes`: the names of modules with a mode of their own (norm, dropout) that were in eval mode.
    `first` is the first input tensor (kept for the first 8 calls only), `digest` of all of them.
    """

    step: int
    training: bool
    grad_enabled: bool
    modes: tuple[str, ...]
    n: int
    first: Tensor | None
    where: str
    at: int = 0
    digest: bytes = b""


@dataclass(frozen=True)
class Backward:
    """One backward pass: optimizer steps before it, and the root's value (its sum).

    `root` names the root's `grad_fn`, empty where it has none. `training` is the model's flag in
    the last forward pass with gradients, None where there was none since the pass before, `used`
    the modules with a mode that ran in it, `modes` those of them in eval mode. `held`: graphs of
    earlier passes that are still in memory, `retains`: it was called with retain_graph.
    """

    step: int
    value: float
    where: str
    at: int = 0
    root: str = ""
    training: bool | None = None
    used: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    held: int = 0
    retains: bool = False


@dataclass(frozen=True)
class Step:
    """One optimizer step: learning rates of its groups, norms before and of the update.

    `optimizer`: 0 is the one the loop was given, others that hold parameters of the model count up.
    `n_backwards` since its step before. `stale`: gradients of the step before were still there and
    were added to. `cleared`: there was a backward pass, and the gradients were cleared after it.
    """

    rates: tuple[float, ...]
    gradient_norm: float
    update_norm: float
    where: str
    at: int = 0
    optimizer: int = 0
    n_backwards: int = 0
    stale: bool = False
    cleared: bool = False


@dataclass(frozen=True)
class Event:
    """Another call: "zero", "clip", "made", "schedule", "scale", "unscale", "scaler-step", ….

    `number` tells things of one kind apart (optimizers, schedulers), `norm` and `limit` are those
    of a clipping, `momentum` is that of an optimizer made, `name` is a class's.
    """

    kind: str
    at: int
    step: int
    where: str
    number: int = 0
    norm: float = float("nan")
    limit: float = float("nan")
    momentum: float = 0.0
    name: str = ""


@dataclass
class Watched:
    """What was seen. `error` is what the loop raised, if it did; `stopped` when it did not end.

    `steps` are the given optimizer's, `others` those of other optimizers of the model's parameters.
    `has_moved`: some parameter is not what it was.
    """

    model: nn.Module
    optimizer: Optimizer
    n_steps: int
    forwards: list[Forward] = field(default_factory=list)
    backwards: list[Backward] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    others: list[Step] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    error: UserError | None = None
    stopped: bool = False
    has_moved: bool = False
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

    @property
    def all_steps(self) -> list[Step]:
        """Of every optimizer of the model's parameters, in order."""
        return sorted([*self.steps, *self.others], key=lambda step: step.at)

    def of(self, *kinds: str) -> list[Event]:
        """The events of some kinds, in order."""
        return [event for event in self.events if event.kind in kinds]


class Enough(BaseException):
    """Ends a loop that does not stop by itself; not an Exception, so that few catch it."""


def loop(bench: Bench) -> Watched:
    """The user's `train` on a new copy, for two passes over a small loader; `bench.shared` it.

    Raises `Cannot` without `train=` or `optimizer=`. What the loop raised is in `error`.
    """
    if bench.subject.train is None:
        raise Cannot("no train= given")
    model = bench.model()
    optimizer = bench.optimizer(model)
    try:
        n_batches = len(bench.subject.loader)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        n_batches = 0
    return watch(bench, model, optimizer, max(STEPS, min(2 * n_batches + 2, MOST_STEPS)))


def watched(bench: Bench) -> Watched:
    """`loop`, for rules that need a step of it; `bench.shared` it.

    Raises what the loop raised before its first step; what it raised later is in `error`.
    """
    seen = bench.shared(loop)
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
    from labbook.checks.watching import watching

    train = bench.subject.train
    if train is None:
        raise Cannot("no train= given")
    seen = Watched(model, optimizer, n_steps)
    started = time.monotonic()
    with ExitStack() as after:
        if before is not None:
            handle = model.register_forward_pre_hook(before, with_kwargs=True)
            after.callback(handle.remove)
        after.enter_context(watching(seen, bench, started))
        try:
            train(model, optimizer, n_steps)
        except Enough:
            seen.stopped = True
        except Cannot:
            raise
        except Exception as error:  # whatever the user's loop raises
            seen.error = UserError("train()", error)
    seen.seconds = time.monotonic() - started
    return seen
