"""Look at a model, or read a dataset, and leave everything as it was.

Invariant: after each of these context managers, also after an exception, every random generator
(Python, numpy, torch on the CPU and on each CUDA device), and for a model every training flag,
buffer, attribute, hook and `requires_grad`, is what it was before. torch and numpy are touched only
when the program has imported them.

What is not undone: parameters written in place by the forward pass itself, and changes inside
objects (lists, caches of the user's own classes, what a hook of theirs keeps) that a module merely
points to.
"""

from __future__ import annotations

import operator
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["model_kept", "randomness_kept", "seed_all", "torch_settings_kept"]


@contextmanager
def randomness_kept() -> Iterator[None]:
    """Give every global random generator back the state it had."""
    with ExitStack() as after:
        after.callback(random.setstate, random.getstate())
        # numpy loads numpy.random lazily: while it is not loaded there is no state to keep
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is not None:
            after.callback(numpy_random.set_state, numpy_random.get_state(legacy=False))
        torch = sys.modules.get("torch")
        if torch is not None:
            after.callback(torch.set_rng_state, torch.get_rng_state())
            _keep_devices(torch, after)
        yield


def _keep_devices(torch: Any, after: ExitStack) -> None:
    if torch.cuda.is_initialized():
        after.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())
    if torch.backends.mps.is_available():
        after.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())


def seed_all(seed: int) -> None:
    """Seed the generators that `randomness_kept` will give back: random transforms repeat."""
    random.seed(seed)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(seed & 0xFFFFFFFF)
    torch = sys.modules.get("torch")
    if torch is not None:
        # not torch.manual_seed: before CUDA is initialised that queues a seed for later, which
        # would override the user's own
        torch.default_generator.manual_seed(seed & 0x7FFF_FFFF_FFFF_FFFF)


@contextmanager
def torch_settings_kept() -> Iterator[None]:
    """Turn gradients, the autocast cache and compilation off, and give all settings back."""
    import torch

    with ExitStack() as after:
        cudnn = torch.backends.cudnn
        for name in ("enabled", "benchmark", "deterministic"):
            after.callback(setattr, cudnn, name, getattr(cudnn, name))
        flags = (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )
        after.callback(torch.use_deterministic_algorithms, flags[0], warn_only=flags[1])
        after.callback(torch.set_default_dtype, torch.get_default_dtype())
        _keep_autocast(torch, after)
        # a weight cast without gradient must not be found by the training step that follows in
        # the same autocast region: older torch then trains nothing (pytorch/pytorch#112583)
        after.callback(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
        torch.set_autocast_cache_enabled(False)
        set_stance = getattr(torch.compiler, "set_stance", None)
        if set_stance is not None and "torch._dynamo" in sys.modules:
            # eval mode would compile every compiled part once more
            after.enter_context(set_stance("force_eager"))
        # not inference_mode: a tensor that the model caches there could never train again
        after.enter_context(torch.no_grad())
        yield


def _keep_autocast(torch: Any, after: ExitStack) -> None:
    if hasattr(torch, "get_autocast_dtype"):  # torch 2.4; `with torch.autocast` undoes itself
        for device in ("cpu", "cuda"):
            after.callback(torch.set_autocast_enabled, device, torch.is_autocast_enabled(device))
            after.callback(torch.set_autocast_dtype, device, torch.get_autocast_dtype(device))


@contextmanager
def model_kept(model: nn.Module, *, attributes: bool = True) -> Iterator[None]:
    """Put `model` into eval mode, and give it back as it was, module by module.

    Without `attributes` only flags and buffers are kept: sharded wrappers set themselves up in
    their first forward pass, which must not be undone.
    """
    import torch

    modules = list(model.modules())
    parameters = [p for module in modules for p in module._parameters.values() if p is not None]
    buffers = [b for module in modules for b in module._buffers.values() if b is not None]
    with ExitStack() as after:
        after.callback(_put_grads_back, [(p, p.requires_grad) for p in parameters])
        kept = [(b, b.detach().clone()) for b in buffers if not b.is_inference()]
        after.callback(_put_buffers_back, kept)
        for module in modules:
            # the flag, not .eval(): a model's own eval() may merge or move its weights
            if not attributes or isinstance(module, torch.jit.ScriptModule):
                after.callback(setattr, module, "training", module.training)
                module.training = False
            else:
                after.callback(_put_attributes_back, _attributes(module))
                vars(module)["training"] = False
        yield


def _put_grads_back(grads: list[tuple[nn.Parameter, bool]]) -> None:
    for parameter, wanted in grads:
        if parameter.requires_grad != wanted:
            parameter.requires_grad_(wanted)


def _put_buffers_back(kept: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, before in kept:
        # .data, so that a backward pass still to come does not see a new version of the buffer
        buffer.data.copy_(before)


_Entries = dict[str, Any]


class _Attributes(NamedTuple):
    """A module's attributes, live and as they were, and the same of its dicts."""

    live: _Entries
    before: _Entries
    dicts: list[_Entries]
    dicts_before: list[_Entries]
    empty: list[_Entries]


def _attributes(module: nn.Module) -> _Attributes:
    """Take down a module's attributes, and the entries of those that are dicts.

    Among the dicts are torch's own: hooks, buffers, parameters, submodules. Most are empty, and
    copies of thousands of empty ones would set the garbage collector going.
    """
    live = vars(module)
    dicts = [value for value in live.values() if isinstance(value, dict)]
    filled = [value for value in dicts if value]
    empty = [value for value in dicts if not value]
    return _Attributes(live, dict(live), filled, [dict(value) for value in filled], empty)


def _put_attributes_back(kept: _Attributes) -> None:
    _refill(kept.live, kept.before)
    for live, before in zip(kept.dicts, kept.dicts_before, strict=True):
        _refill(live, before)
    for entries in kept.empty:
        entries.clear()


def _refill(live: _Entries, before: _Entries) -> None:
    # by identity: `==` between tensors is not a truth value
    if (
        len(live) != len(before)
        or not all(map(operator.is_, live, before))
        or not all(map(operator.is_, live.values(), before.values()))
    ):
        live.clear()
        live.update(before)
