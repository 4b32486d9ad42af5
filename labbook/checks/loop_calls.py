"""The calls a training loop makes to torch, told as they happen; nothing of them is changed.

torch's own functions and methods are wrapped while a loop runs, and given back afterwards, also
after an exception.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import Any

from labbook.checks.place import is_users

__all__ = ["Told", "loop_calls"]

Told = Callable[..., None]
"""`tell(kind, thing, **values)`, after the call; "backward" before it."""


@contextmanager
def loop_calls(tell: Told) -> Iterator[None]:
    """Tell of "backward", "zero", "clip", "made", "schedule", "scale", "unscale", "scaler-step"."""
    import torch

    with ExitStack() as after:
        _wrap(after, torch.autograd, "backward", _backward(tell))
        for owner in (torch.optim.Optimizer, torch.nn.Module):
            _wrap(after, owner, "zero_grad", _telling(tell, "zero"))
        _wrap(after, torch.optim.Optimizer, "__init__", _telling(tell, "made"))
        for scheduler in _schedulers():
            _wrap(after, scheduler, "step", _telling(tell, "schedule", by_user=True))
        _listen_to_clipping(after, tell)
        _listen_to_scalers(after, tell)
        yield


def _wrap(after: ExitStack, owner: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
    original = vars(owner).get(name)
    if callable(original):
        setattr(owner, name, wrapper(original))
        after.callback(setattr, owner, name, original)


def _telling(tell: Told, kind: str, by_user: bool = False) -> Callable[[Any], Any]:
    """`by_user`: tell apart what torch calls, as one scheduler steps others and each itself."""

    def wrapper(original: Any) -> Any:
        def told(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            tell(kind, self)
            if by_user and is_users(sys._getframe(1).f_code.co_filename):
                tell(f"{kind}-called", self)
            return result

        _like(told, original)
        return told

    return wrapper


def _like(told: Any, original: Any) -> None:
    """Signature and marks: torch looks at both (`_wrapped_by_lr_sched`, `inspect.signature`)."""
    import functools

    functools.update_wrapper(told, original)


def _backward(tell: Told) -> Callable[[Any], Any]:
    def wrapper(original: Any) -> Any:
        def told(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            roots = [tensors] if not isinstance(tensors, (tuple, list)) else list(tensors)
            retains = kwargs.get("retain_graph", args[1] if len(args) > 1 else None)
            for root in roots:
                tell("backward", root, retains=bool(retains))
            return original(tensors, *args, **kwargs)

        _like(told, original)
        return told

    return wrapper


def _schedulers() -> Iterator[type]:
    """Those classes that have a `step` of their own; one that calls its parent's tells twice."""
    from torch.optim.lr_scheduler import LRScheduler

    waiting: list[type] = [LRScheduler]
    while waiting:
        kind = waiting.pop()
        if "step" in vars(kind):
            yield kind
        waiting += kind.__subclasses__()


def _listen_to_clipping(after: ExitStack, tell: Told) -> None:
    """Inside torch's own decorator, so that names imported before are heard too."""
    from torch.nn.utils import clip_grad

    def norm(original: Any) -> Any:
        def told(parameters: Any, max_norm: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(parameters, max_norm, *args, **kwargs)
            tell("clip", None, norm=float(result), limit=float(max_norm))
            return result

        return told

    def value(original: Any) -> Any:
        def told(parameters: Any, clip_value: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(parameters, clip_value, *args, **kwargs)
            tell("clip", None, norm=float("nan"), limit=float(clip_value))
            return result

        return told

    for name, wrapper in (("clip_grad_norm_", norm), ("clip_grad_value_", value)):
        _wrap_inside(after, clip_grad, name, wrapper)


def _wrap_inside(after: ExitStack, module: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
    outer = getattr(module, name)
    for cell in outer.__closure__ or ():
        inner = cell.cell_contents
        if isinstance(inner, FunctionType) and inner.__name__ == name:
            cell.cell_contents = wrapper(inner)
            after.callback(setattr, cell, "cell_contents", inner)
            return


def _listen_to_scalers(after: ExitStack, tell: Told) -> None:
    import torch

    kinds: set[type] = {torch.cuda.amp.GradScaler}
    if hasattr(torch.amp, "GradScaler"):  # torch 2.3
        kinds.add(torch.amp.GradScaler)
    for kind in kinds:
        for name, said in _SCALER.items():
            _wrap(after, kind, name, _telling_of_scaler(tell, said))


_SCALER = {"scale": "scale", "unscale_": "unscale", "step": "scaler-step", "update": "update"}


def _telling_of_scaler(tell: Told, kind: str) -> Callable[[Any], Any]:
    """Before the call: `scaler.step` calls the optimizer's. A scaler that is off tells nothing."""

    def wrapper(original: Any) -> Any:
        def told(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self.is_enabled():
                tell(kind, self)
            result = original(self, *args, **kwargs)
            if self.is_enabled() and kind == "scaler-step":
                tell("scaler-stepped", self)
            return result

        _like(told, original)
        return told

    return wrapper
