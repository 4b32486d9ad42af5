"""One sampled training step: what is measured around it, and the rows it becomes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from labbook.client import activations, parameters
from labbook.client.arriving import Vector
from labbook.client.nonfinite import First, first_nonfinite
from labbook.client.parameters import Update
from labbook.client.tensor_stats import is_lazy

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

__all__ = ["Row", "Sample", "has_closure", "named_parameters"]

Row = tuple[tuple[str, ...], list[float | None]]


class Sample:
    """Collects vectors on the devices; `rows` makes numbers of them once they have arrived."""

    def __init__(self, index: int, *, histograms: bool) -> None:
        self.index = index
        """Of the training step, counted from 0 where following began."""
        self.seconds = 0.0
        """Of the training's time that it took so far."""
        self.vectors: list[Vector] = []
        self.host: dict[str, float | None] = {}
        """Values known without a device."""
        self.probe: activations.Probe | None = None
        self.is_forward_over = False
        self.opened_at = 0
        """The step that the run had reached then."""
        self._sizes: dict[str, int] = {}
        self._histograms = histograms
        self._is_scaled = False
        self._has_gradient: set[str] = set()
        self._kept: dict[int, list[Update]] = {}
        self._factors: dict[str, float] = {}

    def before_step(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        elsewhere: Collection[int],
        *,
        is_closure: bool,
    ) -> None:
        """Measure weights and gradients as the optimizer is about to see them.

        `elsewhere`: ids of parameters that other optimizers hold: they have their own turn. With a
        closure the gradients are only made inside the step.
        """
        named = named_parameters(model)
        if not self._sizes:
            self._sizes = {name: p.numel() for name, p in named if not is_lazy(p)}
            self.vectors += parameters.weights(named, histograms=self._histograms)
        if not is_closure:
            self._gradients(named, optimizer, elsewhere)
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        moving = [(n, p) for n, p in named if id(p) in own and (is_closure or p.grad is not None)]
        self._kept[id(optimizer)] = Update.before_step(moving)

    def after_step(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        elsewhere: Collection[int],
        *,
        is_closure: bool,
    ) -> None:
        """Measure what the step changed."""
        if is_closure:
            self._gradients(named_parameters(model), optimizer, elsewhere)
        kept = self._kept.pop(id(optimizer), [])
        self.vectors += parameters.updates(kept)
        self._factors |= parameters.factors(kept)

    def _gradients(
        self, named: parameters.Named, optimizer: Optimizer, elsewhere: Collection[int]
    ) -> None:
        own = [(n, p) for n, p in named if id(p) not in elsewhere and n not in self._has_gradient]
        self._has_gradient.update(n for n, p in own if p.grad is not None)
        # GradScaler sets both around a fused step, which unscales and skips by itself
        scale = getattr(optimizer, "grad_scale", None)
        if getattr(optimizer, "found_inf", None) is not None:
            self._is_scaled = True
        self.vectors += parameters.gradients(own, scale, histograms=self._histograms)

    def add_rate(self, name: str, rate: float | Tensor) -> None:
        """Note the learning rate of a group; a tensor on a device is not waited for."""
        key = f"learning_rate/{name}"
        if isinstance(rate, int | float):
            self.host[key] = float(rate)
        else:
            self.host[key] = None
            self.vectors.append(([key], rate.reshape(1)))

    def end_forward(self) -> None:
        """Take over what the probe measured."""
        self.is_forward_over = True
        if self.probe is not None:
            self.probe.close()
            self.vectors += self.probe.vectors()
            self.seconds += self.probe.seconds

    def rows(self, found: Mapping[str, float]) -> list[Row]:
        """Rows of the table "model", from all values by name."""
        scaled = {name: found[name] * factor for name, factor in self._factors.items()}
        found = {**found, **scaled}
        made: list[Row] = []
        if self._sizes:
            names, values = parameters.row(self._sizes, found, histograms=self._histograms)
            others = {name: found.get(name, value) for name, value in self.host.items()}
            made.append((names + tuple(others), values + list(others.values())))
        if self.probe is not None and self.probe.names:
            made.append(activations.row(self.probe.names, found))
        return made

    def first_nonfinite(self, found: Mapping[str, float]) -> First | None:
        """Where values that are not finite came from; None when there are none."""
        tensors = [] if self.probe is None else self.probe.names
        return first_nonfinite(list(self._sizes), tensors, found, is_scaled=self._is_scaled)


def named_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters by their names in the net as it was written, compiled parts or not."""
    return [(name.replace("_orig_mod.", ""), p) for name, p in model.named_parameters()]


def has_closure(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a step was called with a function that computes the gradients inside it."""
    closure: Callable[[], Any] | None = kwargs.get("closure")
    if closure is None and len(args) > 1:  # the first is the optimizer
        closure = args[1]
    return closure is not None
