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
from labbook.checks.losses import LOSS_KINDS
from labbook.checks.rule import Cannot
from labbook.checks.torch_calls import Call, torch_calls
from labbook.checks.traced import RESHAPING, Trace, traced

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Free", "Path", "agreement", "ascended", "descend", "descended", "free_outputs"]

STEPS = 200
RATE = 0.1
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

_HARD = frozenset(
    ["relu", "relu_", "relu6", "hardtanh", "clamp", "clip", "clamp_", "clamp_min", "clamp_max"]
)
"""Flat somewhere: the descent starts where they are not."""


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

    def start(self, scale: float = START, seed: int = 0) -> None:
        """Small random numbers, about zero (above it before an activation that is flat below)."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        for root in self.roots:
            drawn = torch.randn(root.shape, generator=generator, dtype=torch.float32) * scale
            if self.tail & _HARD:
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


def free_of(bench: Bench, seen: Trace) -> Free:
    """The same for a trace."""
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
        root, tail = _tail(seen, leaf)
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
    optimizer = torch.optim.Adam(free.roots, RATE)
    losses: list[float] = []
    for _ in range(STEPS):
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


# -------------------------------------------------------------------- do outputs meet the targets


def agreement(bench: Bench, path: Path) -> float:
    """Share of the outputs that agree with the targets, 0 to 1.

    Classes: arg-max equals target, the mean over classes. Zeros and ones (or ±1): on the right
    side, the mean over both. Other values: moved from the start towards the target. The targets
    are what torch's loss function got where there is exactly one, else the loader's.
    Raises `Cannot` where outputs and targets cannot be compared.
    """
    import torch

    calls: list[Call] = []
    with torch.no_grad(), torch_calls(calls):
        path.free.loss(path.output)
    known = [c for c in calls if c.name in LOSS_KINDS]
    output = bench.tensor(path.output)
    if len(known) == 1 and LOSS_KINDS[known[0].name] in _COMPARED:
        call = known[0]
        given, target = call.given(0, "input"), call.given(1, "target")
        if output.shape == given.shape:
            given = output
        kind = LOSS_KINDS[call.name]
        if kind in {"ce", "nll"}:
            return _by_class(given, target, int(call.given(4, "ignore_index", -100)), 1)
        return _by_value(bench, path, given, target, 0.5 if kind == "bce" else 0.0)
    found = next(leaves(path.free.seen.batch.target), None)
    if found is None or len(known) > 1:
        raise Cannot("outputs and targets cannot be compared")
    return _by_shape(bench, path, output, found)


_COMPARED = {"ce", "nll", "bce", "bce-logits", "mse", "l1", "huber"}


def _by_shape(bench: Bench, path: Path, output: Tensor, target: Tensor) -> float:
    if not target.is_floating_point() and output.ndim == target.ndim + 1:
        axis = 1 if output.ndim == 2 or output.shape[2:] == target.shape[1:] else -1
        if int(target.min()) >= 0 and int(target.max()) < output.shape[axis] > 1:
            return _by_class(output, target, -100, axis)
    if output.numel() == target.numel():
        middle = 0.5 if path.free.tail & {"sigmoid", "softmax", "hardsigmoid"} else 0.0
        return _by_value(bench, path, output.reshape(target.shape), target, middle)
    raise Cannot("outputs and targets cannot be compared")


def _by_class(given: Tensor, target: Tensor, ignored: int, axis: int) -> float:
    import torch

    axis = axis if given.ndim > 1 else 0
    if target.is_floating_point():
        target = target.argmax(axis)
    chosen = given.argmax(axis)
    if chosen.shape != target.shape:
        raise Cannot("outputs and targets cannot be compared")
    keep = target != ignored
    right, target = (chosen == target)[keep].double(), target[keep]
    if target.numel() < 4:
        raise Cannot("too few targets in a batch to compare outputs with")
    classes: list[int] = sorted(set(target.tolist()))
    return float(torch.stack([right[target == c].mean() for c in classes]).mean())


def _by_value(bench: Bench, path: Path, given: Tensor, target: Tensor, middle: float) -> float:
    target = target.double()
    given = given.double()
    if given.shape != target.shape or target.numel() < 4:
        raise Cannot("outputs and targets cannot be compared")
    low, top = float(target.min()), float(target.max())
    if (low, top) in {(0.0, 1.0), (-1.0, 1.0)} and bool(((target == low) | (target == top)).all()):
        high = target == top
        up, down = (given > middle)[high].double(), (given < middle)[~high].double()
        return float((up.mean() + down.mean()) / 2)
    import torch

    path.free.start(seed=bench.seed)
    with torch.no_grad():
        start = bench.tensor(path.free.output()).double()
    if start.numel() != target.numel():
        raise Cannot("outputs and targets cannot be compared")
    start = start.reshape(target.shape)
    far = (target - start).abs() > 1e-3 * target.abs().max()
    towards = ((given - start) * (target - start) > 0)[far]
    if towards.numel() < 4:
        raise Cannot("outputs and targets cannot be compared")
    return float(towards.double().mean())
