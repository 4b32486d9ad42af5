"""A check leaves no trace: generators, models, loaders, settings and files are as they were.

Invariant: after `undisturbed()`, also after an exception, every global random generator, torch
setting and warning filter, every parameter, buffer, gradient, flag and attribute of the user's own
modules, the state of their optimizers, the generators of their loaders, and every file that
this thread wrote meanwhile are what they were before. What the user's code logs meanwhile goes
nowhere; a run's own threads, its gauges and seals, go on.

Rules work on copies all the same; this is for what the user's own functions reach by closure.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from labbook.checks.written import files_kept
from labbook.client.trial import is_trial, trial
from labbook.client.undisturbed import model_kept, randomness_kept, torch_settings_kept

if TYPE_CHECKING:
    from labbook.client.off import OffRun
    from labbook.client.run import Run

__all__ = ["undisturbed"]


@contextmanager
def undisturbed(
    modules: Iterable[Any] = (), optimizers: Iterable[Any] = (), loaders: Iterable[Any] = ()
) -> Iterator[None]:
    """Give back everything; see the module's docstring."""
    import torch

    with ExitStack() as after:
        after.enter_context(files_kept())
        after.enter_context(_nothing_logged())
        after.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for module in modules:
            after.enter_context(_module_kept(module))
        for optimizer in optimizers:
            after.enter_context(_optimizer_kept(optimizer))
        for loader in loaders:
            after.enter_context(_generators_kept(loader))
        after.enter_context(randomness_kept())
        after.callback(torch.set_anomaly_enabled, torch.is_anomaly_enabled())
        after.callback(torch.set_num_threads, torch.get_num_threads())
        after.enter_context(torch_settings_kept())
        after.enter_context(torch.enable_grad())
        yield
        gc.collect(0)


@contextmanager
def _module_kept(module: Any) -> Iterator[None]:
    """Weights and gradients too: `model_kept` looks after the rest."""
    import torch

    parameters = list(module.parameters())
    kept = [(p, p.detach().clone(), p.grad, _copy(p.grad)) for p in parameters]
    flags = [(m, m.training) for m in module.modules()]
    try:
        with model_kept(module):
            for part, training in flags:
                part.training = training
            yield
    finally:
        with torch.no_grad():
            for parameter, value, grad, before in kept:
                if not _same(parameter, value):
                    parameter.data.copy_(value)
                if grad is not None and not _same(grad, before):
                    grad.data.copy_(before)
                parameter.grad = grad


def _copy(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().clone()


def _same(one: Any, other: Any) -> bool:
    import torch

    return one.shape == other.shape and torch.equal(one.detach(), other)


@contextmanager
def _optimizer_kept(optimizer: Any) -> Iterator[None]:
    import copy

    groups = [dict(group) for group in optimizer.param_groups]
    state = {key: copy.deepcopy(value) for key, value in optimizer.state.items()}
    hooks = {
        name: dict(getattr(optimizer, name))
        for name in vars(optimizer)
        if name.endswith("_hooks") and isinstance(getattr(optimizer, name), dict)
    }
    try:
        yield
    finally:
        for group, before in zip(optimizer.param_groups, groups, strict=False):
            group.clear()
            group.update(before)
        optimizer.state.clear()
        optimizer.state.update(state)
        for name, before in hooks.items():
            live = getattr(optimizer, name)
            live.clear()
            live.update(before)


@contextmanager
def _generators_kept(loader: Any) -> Iterator[None]:
    """A loader's own generators; global ones are kept elsewhere."""
    import torch

    found = {
        id(generator): generator
        for part in (
            loader,
            getattr(loader, "sampler", None),
            getattr(loader, "batch_sampler", None),
        )
        for generator in (getattr(part, "generator", None),)
        if isinstance(generator, torch.Generator)
    }
    states = [(generator, generator.get_state()) for generator in found.values()]
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)


@contextmanager
def _nothing_logged() -> Iterator[None]:
    """What this thread does with `labbook.log` and the current run records nothing for a while."""
    from labbook.client import current
    from labbook.client.off import OffRun

    before = current._current
    off = OffRun(getattr(before, "args", None))
    with ExitStack() as after:
        if before is not None and not isinstance(before, OffRun):
            after.enter_context(_muted(before, off))
        elif before is None:
            after.callback(setattr, current, "_current", None)
            current.set_current(off)
        after.enter_context(trial())
        yield


@contextmanager
def _muted(run: Run, off: OffRun) -> Iterator[None]:
    """The user's closures hold the run itself: in this thread it is deaf, in others it goes on."""
    names = [name for name in vars(type(off)) if not name.startswith("_") and hasattr(run, name)]
    try:
        for name in names:
            setattr(run, name, _deaf(getattr(run, name), getattr(off, name)))
        yield
    finally:
        for name in names:
            vars(run).pop(name, None)


def _deaf(live: Callable[..., Any], off: Callable[..., Any]) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return (off if is_trial() else live)(*args, **kwargs)

    return method
