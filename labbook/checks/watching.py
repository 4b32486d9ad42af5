"""The hooks behind `labbook.checks.watched`.

They are functions, not bound methods: a loop that copies its model (an average of its weights, a
target net) copies hooks too, and a function is copied as itself.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.digests import digest
from labbook.checks.loop_calls import loop_calls
from labbook.checks.modes import mode_modules
from labbook.checks.place import caller
from labbook.checks.watched import STEPS, Backward, Enough, Event, Forward, Step, Watched

if TYPE_CHECKING:
    from labbook.checks.bench import Bench

__all__ = ["watching"]

SECONDS = 20.0
"""A loop that takes longer is stopped after the step in hand."""

MORE_SECONDS = 4.0
"""And one that has taken `STEPS` steps and longer than this."""

KEPT = 8
"""Calls whose first input is kept."""


class _Token:
    """Lives as long as the graph it is put into."""


@dataclass
class _Gradients:
    """One optimizer's, between its steps: those of the step before that nothing has cleared."""

    number: int
    dirty: list[Any] = field(default_factory=list)
    n_backwards: int = 0
    is_stale: bool = False
    was_cleared: bool = False


@contextmanager
def watching(seen: Watched, bench: Bench, started: float) -> Iterator[None]:
    """Fill `seen` while the user's loop runs."""
    from torch.optim.optimizer import (
        register_optimizer_step_post_hook,
        register_optimizer_step_pre_hook,
    )

    eye = _Eye(seen, bench, started)
    model = seen.model

    def forward(module: Any, args: Any, kwargs: Any) -> None:
        if module is model:
            eye.forward(args, kwargs)

    with ExitStack() as after:
        after.callback(model.register_forward_pre_hook(forward, with_kwargs=True).remove)
        for name, part in eye.modes.items():
            after.callback(part.register_forward_pre_hook(eye.mode_hook(name, part)).remove)
        after.callback(register_optimizer_step_pre_hook(eye.before_step).remove)
        after.callback(register_optimizer_step_post_hook(eye.after_step).remove)
        after.enter_context(loop_calls(eye.told))
        after.callback(eye.close)
        yield


class _Eye:
    """What the hooks need between calls."""

    def __init__(self, seen: Watched, bench: Bench, started: float) -> None:
        self.seen = seen
        self.bench = bench
        self.started = started
        self.at = 0
        self.modes = mode_modules(seen.model)
        self.used: dict[str, bool] = {}
        self.training: bool | None = None
        self.parameters = {id(p): p for p in seen.model.parameters()}
        self.before = [(p, p.detach().clone()) for p in self.parameters.values()]
        self.gradients: dict[int, _Gradients] = {id(seen.optimizer): _Gradients(0)}
        self.alive: list[Any] = [seen.optimizer]  # ids stay those of these objects
        self.numbers: dict[str, dict[int, int]] = {}
        self.kept: dict[int, list[tuple[Any, Any]]] = {}
        self.norms: dict[int, float] = {}
        self.graphs: list[Any] = []

    def __deepcopy__(self, memo: Any) -> _Eye:
        return self  # a loop may copy its model, with the hooks on it

    def next(self) -> int:
        self.at += 1
        return self.at

    # ------------------------------------------------------------------ forward, backward

    def forward(self, args: Any, kwargs: Any) -> None:
        import torch

        tensors = list(leaves((args, kwargs)))
        first = tensors[0] if tensors else None
        keeps = first is not None and len(self.seen.forwards) < KEPT
        is_on = torch.is_grad_enabled()
        self.seen.forwards.append(
            Forward(
                step=len(self.seen.steps),
                training=self.seen.model.training,
                grad_enabled=is_on,
                modes=tuple(name for name, part in self.modes.items() if not part.training),
                n=len(first) if first is not None and first.ndim else 0,
                first=first.detach().clone() if keeps and first is not None else None,
                where=caller(2),
                at=self.next(),
                digest=digest((args, kwargs)),
            )
        )
        if is_on:
            self.training, self.used = self.seen.model.training, {}
        self._look_at_the_clock()

    def mode_hook(self, name: str, part: Any) -> Any:
        import torch

        def used(module: Any, args: Any) -> None:
            if module is part and torch.is_grad_enabled():
                self.used[name] = module.training

        return used

    def told(self, kind: str, thing: Any, **values: Any) -> None:
        if kind == "backward":
            self.backward(thing, **values)
            return
        if kind == "zero" and thing is not self.seen.model and not self._is_ours(thing):
            return
        if kind == "made" and not self._is_ours(thing):
            return
        if kind == "schedule" and not self._is_ours(getattr(thing, "optimizer", None)):
            return
        if thing is not None:
            self.alive.append(thing)
        name = type(thing).__name__ if thing is not None else ""
        if kind == "made":
            values["momentum"] = float(thing.defaults.get("momentum") or 0)
        number = self._number(kind, thing)
        where = caller(2)
        self.seen.events.append(
            Event(kind, self.next(), len(self.seen.steps), where, number, name=name, **values)
        )

    def _number(self, kind: str, thing: Any) -> int:
        if kind in {"zero", "made"}:
            is_optimizer = hasattr(thing, "param_groups")
            return self._of(thing, kind == "made").number if is_optimizer else 0
        numbers = self.numbers.setdefault(kind, {})
        return numbers.setdefault(id(thing), len(numbers))

    def backward(self, root: Any, retains: bool) -> None:
        for gradients in self.gradients.values():
            gradients.dirty = [p for p in gradients.dirty if _is_there(p.grad)]
            gradients.n_backwards += 1
            gradients.was_cleared = False
        value = float(root.detach().double().sum())
        self.seen.backwards.append(
            Backward(
                len(self.seen.steps),
                value,
                caller(2),
                at=self.next(),
                root=type(root.grad_fn).__name__ if root.grad_fn is not None else "",
                training=self.training,
                used=tuple(self.used),
                modes=tuple(name for name, training in self.used.items() if not training),
                held=self._held(root),
                retains=retains,
            )
        )
        self._look_at_the_clock()

    def _held(self, root: Any) -> int:
        """How many graphs of earlier passes are in memory; a token is put into this one's."""
        held = sum(graph() is not None for graph in self.graphs)
        if root.grad_fn is not None:
            token = _Token()
            root.grad_fn.metadata["labbook"] = token
            self.graphs.append(weakref.ref(token))
        return held

    # ------------------------------------------------------------------ steps

    def _is_ours(self, optimizer: Any) -> bool:
        if optimizer is self.seen.optimizer:
            return True
        groups = getattr(optimizer, "param_groups", ())
        return any(id(p) in self.parameters for group in groups for p in group["params"])

    def _of(self, optimizer: Any, is_new: bool = False) -> _Gradients:
        if id(optimizer) not in self.gradients:
            self.alive.append(optimizer)
            params = {id(p) for p in _parameters(optimizer)}
            others = {id(p): p for g in self.gradients.values() for p in g.dirty}
            self.gradients[id(optimizer)] = _Gradients(
                len(self.gradients),
                dirty=[p for key, p in others.items() if key in params],
                n_backwards=0 if is_new else len(self.seen.backwards),
            )
        return self.gradients[id(optimizer)]

    def before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not self._is_ours(optimizer):
            return
        own = self._of(optimizer)
        params = [p for p in _parameters(optimizer) if p.grad is not None]
        own.dirty = [p for p in own.dirty if _is_there(p.grad)]
        is_there = any(_is_there(p.grad) for p in params)
        own.is_stale = bool(own.dirty) and own.n_backwards > 0
        own.was_cleared = own.n_backwards > 0 and not is_there
        self.norms[id(optimizer)] = _norm([p.grad for p in params])
        self.kept[id(optimizer)] = [(p, p.detach().clone()) for p in params]

    def after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not self._is_ours(optimizer) or id(optimizer) not in self.kept:
            return
        own = self._of(optimizer)
        n_before = len(self.seen.steps) + len(self.seen.others)
        has_closure = bool(args[1:] if args and args[0] is optimizer else args) or bool(
            kwargs.get("closure")
        )
        kept = self.kept.pop(id(optimizer))
        step = Step(
            tuple(float(group.get("lr", float("nan"))) for group in optimizer.param_groups),
            self.norms.pop(id(optimizer)),
            _norm([p.detach() - before for p, before in kept]),
            caller(2),
            at=self.next(),
            optimizer=own.number,
            n_backwards=own.n_backwards,
            stale=bool(own.dirty) if has_closure else own.is_stale,
            cleared=own.was_cleared and not has_closure,
        )
        (self.seen.others if own.number else self.seen.steps).append(step)
        own.dirty = [p for p in _parameters(optimizer) if _is_there(p.grad)]
        own.n_backwards = 0
        self._look_at_the_clock(n_before + 1)

    def _look_at_the_clock(self, n_steps: int = 0) -> None:
        took = time.monotonic() - self.started
        seen = self.seen
        if max(len(seen.steps), n_steps // 8) >= 2 * seen.n_steps or took > SECONDS:
            raise Enough
        if took > MORE_SECONDS and len(seen.steps) >= STEPS:
            raise Enough
        if self.bench.seconds_left < 0:
            raise Enough

    def close(self) -> None:
        self.seen.has_moved = any(
            p.shape != before.shape or not bool((p.detach() == before).all())
            for p, before in self.before
        )


def _parameters(optimizer: Any) -> Iterator[Any]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _is_there(grad: Any) -> bool:
    if grad is None:
        return False
    return bool((grad._values() if grad.is_sparse else grad).any())


def _norm(tensors: list[Any]) -> float:
    import torch

    total = torch.zeros((), dtype=torch.float64)
    for tensor in tensors:
        values = tensor._values() if tensor.is_sparse else tensor
        total += values.detach().double().pow(2).sum().cpu()
    return float(total.sqrt())
