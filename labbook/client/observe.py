"""One observation: what a model does with the chosen examples now, and nothing else changed.

Invariant: training goes on bit for bit as if the observation had not been
(`tests/client/test_observe_bitwise.py`); see `labbook.client.undisturbed` for what is kept.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from labbook.client.batches import Batch, moved
from labbook.client.columns import Column
from labbook.client.example_loss import NO_TARGET, example_losses
from labbook.client.keeping import Keeping
from labbook.client.outputs import Outputs
from labbook.client.undisturbed import model_kept, randomness_kept, torch_settings_kept
from labbook.errors import MisuseError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "Forward",
    "is_observing",
    "is_out_of_memory",
    "is_sharded",
    "observe",
    "unwrapped",
]

Forward = Callable[[Any, Any], Any]
"""The user's own forward pass: (model, batch on the model's device) → output."""

_here = threading.local()

_WRAPPERS = {"DistributedDataParallel", "DataParallel", "DeepSpeedEngine"}
_SHARDED = {"FullyShardedDataParallel", "FSDPModule", "DTensor"}


def is_observing() -> bool:
    """Whether this thread is inside an observation: hooks that record training look away."""
    return getattr(_here, "observing", False)


def observe(
    model: Any,
    loss: Callable[..., Any] | None,
    batches: list[Batch],
    *,
    how: Keeping,
    forward: Forward | None = None,
    every_rank: bool = False,
) -> tuple[list[Column], str | None]:
    """Run `model` over the batches in eval mode and return the columns, one row an example.

    A sharded model is refused before its forward pass unless the caller says, by `every_rank`,
    that all ranks are here.

    Columns: `loss` (when one is given), and those of `labbook.client.outputs`. The second result is
    why some output was left out. Raises what the forward pass and the loss raise, with a note on
    what was going on.
    """
    network = unwrapped(model)
    _refuse_lazy(network)
    sharded = is_sharded(network)
    if sharded and not every_rank:
        raise MisuseError(
            "the model is sharded over ranks, and its forward pass needs all of them: call "
            "chosen.observe(…, every_rank=True) on every rank at the same step"
        )
    device = _device_of(network)
    outputs = Outputs(sum(batch.n for batch in batches), how)
    with _undisturbed(network, loss, sharded):
        for batch in batches:
            output = _forward(network, forward, batch, device)
            target = moved(batch.target, device)
            outputs.add(output, target, batch.n)
            if loss is not None:
                wanted = NO_TARGET if target is None else target
                outputs.add_losses(example_losses(loss, output, wanted, batch.n))
        return outputs.columns(), outputs.left_out


def unwrapped(model: Any) -> nn.Module:
    """The module itself, out of `torch.compile`, DistributedDataParallel and the like."""
    import torch

    while isinstance(model, torch.nn.Module):
        if isinstance(getattr(model, "_orig_mod", None), torch.nn.Module):
            model = model._orig_mod
        elif _kinds(model) & _WRAPPERS:
            model = model.module
        else:
            return model
    raise MisuseError(
        f"observe() wants a torch.nn.Module, got {type(model).__name__}. For anything else compute "
        "the outputs yourself: chosen.record(step, output=…, loss=…)"
    )


def is_sharded(model: nn.Module) -> bool:
    """Whether the model's weights lie on several ranks: all must run the forward pass together."""
    import torch

    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return False
    if distributed.get_world_size() == 1:
        return False
    if any(_kinds(module) & _SHARDED for module in model.modules()):
        return True
    # DeepSpeed's third stage marks the parameters it has taken apart
    return any(_kinds(p) & _SHARDED or hasattr(p, "ds_id") for p in model.parameters())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an observation failed for want of memory, on a device or on the host."""
    import torch

    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
    )


def _kinds(value: object) -> set[str]:
    return {kind.__name__ for kind in type(value).__mro__}


def _refuse_lazy(model: nn.Module) -> None:
    from torch.nn.modules.lazy import LazyModuleMixin

    lazy = (module for module in model.modules() if isinstance(module, LazyModuleMixin))
    if any(module.has_uninitialized_params() for module in lazy):
        raise MisuseError(
            "observe() would initialise the model's lazy parameters, which training must do: "
            "observe after the first training step, or run one batch through the model before"
        )


def _device_of(model: nn.Module) -> torch.device:
    import torch

    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    return first.device if first is not None else torch.device("cpu")


@contextmanager
def _undisturbed(model: nn.Module, loss: Any, sharded: bool) -> Iterator[None]:
    import torch

    with ExitStack() as after:
        after.callback(setattr, _here, "observing", is_observing())
        _here.observing = True
        after.enter_context(randomness_kept())
        after.enter_context(model_kept(model, attributes=not sharded))
        if isinstance(loss, torch.nn.Module):
            after.enter_context(model_kept(loss))
        after.enter_context(torch_settings_kept())
        yield


def _forward(model: nn.Module, forward: Forward | None, batch: Batch, device: torch.device) -> Any:
    try:
        if forward is not None:
            return forward(model, moved(batch.whole, device))
        inputs = moved(batch.inputs, device)
        return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)
    except Exception as error:
        inputs = _described(batch.inputs)
        how = "forward(model, batch)" if forward is not None else f"model({inputs})"
        error.add_note(
            f"labbook: in the forward pass of chosen.observe(), {how}; choose(forward=…) or "
            "choose(collate=…) change how the model is called"
        )
        raise


def _described(inputs: Any) -> str:
    if hasattr(inputs, "keys"):
        return ", ".join(f"{name}=…" for name in inputs)
    shape = getattr(inputs, "shape", None)
    return type(inputs).__name__ if shape is None else f"{type(inputs).__name__} {tuple(shape)}"
