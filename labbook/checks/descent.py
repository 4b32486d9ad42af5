"""The loss alone, descended over outputs that no model made.

Free numbers take the place of what the model's last activation gets (softmax, sigmoid and the like
stay), so outputs lie where the model's can. Where the descent leads says which way the loss
points; what it reaches says whether targets can be met; which numbers get no gradient says what
is cut off. One real batch, no forward pass of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves, mapped
from labbook.checks.bench import Bench
from labbook.checks.rule import Cannot
from labbook.checks.torch_calls import Call
from labbook.checks.traced import RESHAPING, Trace, traced

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["HARD", "Free", "Path", "ascended", "descend", "descended", "free_of", "free_outputs"]

STEPS, RATE = 200, 0.1
FEW_STEPS, FAST = 50, 0.4
MANY = 1 << 17
"""With more free numbers, few steps at a high rate: the same way, in a quarter of the time."""

START = 0.01

ACTIVATIONS = frozenset(
    [
        "softmax",
        "log_softmax",
        "sigmoid",
        "logsigmoid",
        "log_sigmoid",
        "tanh",
        "relu",
        "relu_",
        "relu6",
        "hardtanh",
        "hardsigmoid",
        "softplus",
        "softsign",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "leaky_relu",
        "exp",
        "clamp",
        "clip",
        "clamp_",
        "clamp_min",
        "clamp_max",
        "sigmoid_",
        "tanh_",
    ]
)
"""Functions of one tensor that may end a model."""

HARD = frozenset(("relu", "relu_", "relu6", "hardtanh"))
"""Activations that are flat somewhere."""

_FLAT = HARD | {"clamp", "clip", "clamp_", "clamp_min", "clamp_max"}
"""The same and clamps: the descent starts where they are not flat."""


@dataclass
class Free:
    """Free numbers in place of a model's outputs: `roots` are the leaves, `output()` the output.

    `tail`: the names of the activations between them.
    """

    seen: Trace
    roots: list[Tensor]
    made: Callable[[list[Tensor]], Any]
    loss: Callable[[Any], Tensor]
    tail: frozenset[str]

    def start(self, scale: float = START, seed: int = 0, flat: frozenset[str] = _FLAT) -> None:
        """Small random numbers, about zero; above it before an activation that is `flat` below."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        for root in self.roots:
            drawn = torch.randn(root.shape, generator=generator, dtype=torch.float32) * scale
            if self.tail & flat:
                drawn = 0.3 + drawn.abs() * 0.5
            with torch.no_grad():
                root.copy_(drawn)

    def output(self) -> Any:
        """The output as the roots are now."""
        return self.made(self.roots)

    def value(self) -> Tensor:
        """The loss now, with its graph."""
        return self.loss(self.output())

    def value_of(self, roots: list[Tensor]) -> Tensor:
        """The loss of these numbers in place of the roots."""
        return self.loss(self.made(roots))

    def gradients(self) -> list[Tensor]:
        """Of the loss by the roots; zeros where it does not depend on one."""
        import torch

        loss = self.value()
        if not loss.requires_grad:
            return [torch.zeros_like(root) for root in self.roots]
        found = torch.autograd.grad(loss, self.roots, allow_unused=True)
        return [
            torch.zeros_like(root) if grad is None else grad
            for root, grad in zip(self.roots, found, strict=True)
        ]


@dataclass(frozen=True)
class Path:
    """A descent: the loss before each step and at the end, and the output where it ended."""

    losses: list[float]
    output: Any
    free: Free


def free_outputs(bench: Bench) -> Free:
    """Free numbers for the first batch. Raises `Cannot` where the loss cannot be called alone."""
    if not bench.has_free_loss:
        raise Cannot("the model computes its own loss: it cannot be called on outputs alone")
    return free_of(bench, bench.shared(traced))


def free_of(bench: Bench, seen: Trace, with_tail: bool = True) -> Free:
    """The same for a trace; without its tail the free numbers are the outputs themselves."""
    import torch

    if seen.error is not None:
        raise seen.error
    all_leaves = [t for t in leaves(seen.output) if t.is_floating_point() and t.ndim > 0]
    wanted = [t for t in all_leaves if t.requires_grad] or all_leaves
    if not wanted:
        raise Cannot("no tensor of floats in the model's output")
    roots: dict[int, Tensor] = {}
    made: dict[int, tuple[int, list[Call]]] = {}
    for leaf in wanted:
        root, tail = _tail(seen, leaf) if with_tail else (leaf, [])
        if id(root) not in roots:
            roots[id(root)] = torch.zeros_like(root, dtype=torch.float32).requires_grad_()
        made[id(leaf)] = (id(root), tail)

    def output(given: list[Tensor]) -> Any:
        by_id = dict(zip(roots, given, strict=True))

        def value(tensor: Tensor) -> Tensor:
            if id(tensor) not in made:
                return tensor.detach()
            root, tail = made[id(tensor)]
            result = by_id[root].clone()  # a loss may write into its output
            for call in tail:
                result = call.function(result, *call.args[1:], **call.kwargs)
            return result

        return mapped(seen.output, value)

    def loss(made_output: Any) -> Tensor:
        return bench.loss(made_output, mapped(seen.batch.target, lambda t: t.clone()))

    names = frozenset(call.name for _, tail in made.values() for call in tail)
    return Free(seen, list(roots.values()), output, loss, names)


def _tail(seen: Trace, leaf: Tensor) -> tuple[Tensor, list[Call]]:
    """What the last activations are given, and those calls in order."""
    tail: list[Call] = []
    root = leaf
    for call in seen.chain(leaf):
        is_known = call.name in ACTIVATIONS or call.name in RESHAPING
        if not is_known or not call.args or not call.args[0].is_floating_point():
            break
        if len(list(leaves((call.args[1:], call.kwargs)))) > 0:
            break
        tail.append(call)
        root = call.args[0]
    while tail and tail[-1].name in RESHAPING:  # nothing gained by undoing those
        root = tail.pop().result
    return root, tail[::-1]


def descend(bench: Bench, free: Free, sign: int = 1) -> Path:
    """Adam at 0.1 for 200 steps on the loss (on its negative with `sign=-1`)."""
    import torch

    free.start(seed=bench.seed)
    is_large = sum(root.numel() for root in free.roots) > MANY
    optimizer = torch.optim.Adam(free.roots, FAST if is_large else RATE)
    losses: list[float] = []
    for _ in range(FEW_STEPS if is_large else STEPS):
        bench.tick()
        loss = free.value()
        losses.append(loss.detach().item())
        if not loss.requires_grad:
            raise Cannot("the loss does not depend on the outputs")
        if losses[-1] - losses[-1] != 0:  # not finite
            break
        grads = torch.autograd.grad(loss * sign, free.roots, allow_unused=True)
        for root, grad in zip(free.roots, grads, strict=True):
            root.grad = grad
        optimizer.step()
    with torch.no_grad():
        output = free.output()
        losses.append(free.loss(output).item())
    return Path(losses, mapped(output, lambda t: t.detach()), free)


def descended(bench: Bench) -> Path:
    """The descent on the first batch; `bench.shared` it."""
    return descend(bench, free_outputs(bench))


def ascended(bench: Bench) -> Path:
    """The ascent on the first batch; `bench.shared` it."""
    return descend(bench, free_outputs(bench), -1)
