"""`run.follow(model, optimizer)`: what it takes, what it refuses, and the net as a condition."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labbook.client.follower import Follower, Options
from labbook.client.observe import is_sharded, unwrapped
from labbook.client.recorder import Recorder
from labbook.client.sample import named_parameters
from labbook.client.telling import say
from labbook.errors import MisuseError
from labbook.paths import component

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

__all__ = ["follow"]

_NAMED = 5
"""Names in one line."""


def follow(
    writer: Recorder,
    model: Any,
    optimizer: Any = None,
    *,
    every: int | None = None,
    histograms: bool = False,
    activations: bool = True,
    name: str = "",
    followers: dict[str, Follower],
    records: bool = True,
    fact: Callable[[dict[str, Any]], None],
    step_now: Callable[[], int | None],
    tell: Callable[[str], None] = say,
) -> Follower | None:
    """Follow a net: at sampled steps what its weights, gradients, updates and activations are.

    `optimizer`: one, or a list of them; without it any torch optimizer that holds a parameter of
    the net is noticed. Sampled are the steps 0, 1, 2, 5, 10, 20, 50, 100 and then each hundredth,
    farther apart where that takes more than 1 % of the time; `every` names another distance,
    counted in optimizer steps. `histograms` adds those of weights and gradients. `name` is put
    before the names of the tensors: a second net needs one.

    Recorded for each parameter tensor, the gradient as the optimizer sees it (after accumulation,
    clipping and unscaling): `weight_norm`, `gradient_norm`, `update_norm` (Euclidean),
    `update_ratio` (update ÷ weight, both before the step; usually about 1e-3, says CS231n),
    `zeros` (share of the weights), `weight_nonfinite`, `gradient_nonfinite` (counts); null where
    there is none, as for a frozen parameter. For each tensor that flows through the net
    `activation_mean`, `_sd`, `_zeros`, `_nonfinite` and, after a ReLU and its like, `_dead` (share
    of units active on less than 1 % of the examples in each of the last 10 samples).

    Training is bit for bit the same, and on CUDA nothing waits for the device. Raises
    `MisuseError` for what is no net, and for an optimizer that holds none of its parameters.
    """
    network = _network(model)
    optimizers = [_innermost(each) for each in _listed(optimizer)]
    options = Options(
        every=None if every is None else _whole(every),
        histograms=bool(histograms),
        activations=bool(activations),
        prefix=f"{component(name, 'follow(name=)')}." if name else "",
    )
    _check_optimizers(network, optimizers)
    _check_name(name, network, followers)
    if not records:  # of several ranks the first speaks for all
        return None
    condition = _Condition(name, optimizers, fact)
    condition.record(network)
    if is_sharded(network):
        line = (
            "the net is sharded over ranks: its tree is recorded, its weights are not followed "
            "(norms of them would need all ranks at the same moment)"
        )
        writer.event("follow-sharded", line)
        tell(line)
        return None
    for line in _not_held(network, optimizers):
        writer.event("parameters-without-optimizer", line)
        tell(line)
    made = followers[name] = Follower(
        writer,
        network,
        _called(model),
        optimizers,
        options,
        step_now=step_now,
        on_change=condition.record,
        tell=tell,
    )
    return made


class _Condition:
    """The net as a fact of the run, recorded again only when it is another."""

    def __init__(
        self, name: str, optimizers: Sequence[Optimizer], fact: Callable[[dict[str, Any]], None]
    ) -> None:
        import weakref

        self._name = name
        self._optimizers = [weakref.ref(optimizer) for optimizer in optimizers]
        self._fact = fact
        self._digest: str | None = None

    def record(self, network: nn.Module) -> None:
        from labbook.client.module_tree import describe, optimizer_fact

        found = describe(network)
        if found["digest"] == self._digest:
            return
        self._digest = found["digest"]
        names = {id(p): each for each, p in named_parameters(network)}
        alive = [optimizer for ref in self._optimizers if (optimizer := ref()) is not None]
        optimizers = [optimizer_fact(each, names) for each in alive]
        self._fact({"name": self._name, "model": {**found, "optimizers": optimizers}})


# ---------------------------------------------------------------------- what is refused


def _network(model: Any) -> nn.Module:
    try:
        return unwrapped(model)
    except MisuseError:
        raise MisuseError(
            f"run.follow() wants a torch.nn.Module, got {type(model).__name__}: "
            "run.follow(model, optimizer)"
        ) from None


def _called(model: Any) -> nn.Module:
    """The module whose call can be seen: the net, or what torch.compile made around it."""
    import torch

    outer: nn.Module = model
    while getattr(outer, "_orig_mod", None) is None:
        inner = unwrapped(outer)
        if inner is outer or not isinstance(outer.module, torch.nn.Module):
            return inner
        outer = outer.module
    return outer


def _listed(optimizer: Any) -> list[Any]:
    if optimizer is None:
        return []
    if isinstance(optimizer, Mapping):
        return list(optimizer.values())
    return list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]


def _innermost(optimizer: Any) -> Optimizer:
    """The torch optimizer itself, out of the wrappers of other libraries."""
    import torch

    given = optimizer
    while isinstance(getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = optimizer.optimizer
    if isinstance(optimizer, torch.optim.Optimizer):
        return optimizer
    raise MisuseError(
        f"run.follow(model, optimizer) wants a torch.optim.Optimizer or a list of them, got "
        f"{type(given).__name__}; without it the optimizers that step the model are found"
    )


def _whole(every: Any) -> int:
    try:
        whole = operator.index(every)
    except TypeError as error:
        told = f"follow(every=) must be a whole number of steps, got {every!r}"
        raise MisuseError(told) from error
    if whole < 1:
        raise MisuseError(f"follow(every=) must be at least 1, got {whole}")
    return whole


def _check_optimizers(network: nn.Module, optimizers: Sequence[Optimizer]) -> None:
    ours = {id(p) for p in network.parameters()}
    for optimizer in optimizers:
        held = [id(p) for group in optimizer.param_groups for p in group["params"]]
        if ours and not ours.intersection(held):
            raise MisuseError(
                f"run.follow(): the {type(optimizer).__name__} holds none of the parameters of "
                f"the {type(network).__name__}, so its steps cannot train it. Make it from this "
                f"very model: {type(optimizer).__name__}(model.parameters(), …)"
            )


def _check_name(name: str, network: nn.Module, followers: dict[str, Follower]) -> None:
    old = followers.get(name)
    if old is None:
        return
    if not old.is_closed and old.model is not None and old.model is not network:
        raise MisuseError(
            f"run.follow(): another {type(old.model).__name__} is followed already"
            f"{f' as {name!r}' if name else ''}; give this one a name: "
            'run.follow(model, optimizer, name="…")'
        )
    old.close()


def _not_held(network: nn.Module, optimizers: Sequence[Optimizer]) -> list[str]:
    """A line about trainable parameters that no given optimizer holds."""
    if not optimizers:
        return []
    held = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
    trainable = [(n, p) for n, p in named_parameters(network) if p.requires_grad]
    missing = [n for n, p in trainable if id(p) not in held]
    if not missing:
        return []
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return [
        f"{len(missing)} of {len(trainable)} trainable parameter tensors are in no optimizer "
        f"given to follow(), so these do not train: {', '.join(missing[:_NAMED])}{more}. Give it "
        "all optimizers in a list, or freeze what shall stay: requires_grad_(False)"
    ]
