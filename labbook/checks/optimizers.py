"""The user's optimizer, made again for a copy of their model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

__all__ = ["rebuilt"]


def rebuilt(optimizer: Any, model: Any, copied: nn.Module) -> Optimizer:
    """An optimizer like `optimizer` of `model`'s parameters, of the same ones of `copied`.

    Starts without state. Raises `Cannot` when it holds none of the model's parameters, or cannot
    be made from its groups.
    """
    names = {id(p): name for name, p in getattr(model, "named_parameters", dict)()} if model else {}
    ours = dict(copied.named_parameters())
    groups = []
    for group in optimizer.param_groups:
        params = [ours[names[id(p)]] for p in group["params"] if id(p) in names]
        if params:
            groups.append({**group, "params": params})
    if not groups:
        raise Cannot("the optimizer holds none of the model's parameters")
    try:
        made: Optimizer = type(optimizer)(groups, **_accepted(optimizer))
    except Exception as error:  # whatever a foreign optimizer's constructor raises
        raise Cannot(f"the optimizer cannot be made again: {error}") from error
    return made


def _accepted(optimizer: Any) -> dict[str, Any]:
    import inspect

    known = inspect.signature(type(optimizer)).parameters
    return {name: value for name, value in optimizer.defaults.items() if name in known}
