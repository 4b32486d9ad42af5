"""The part of the input that one output sees, measured by gradients.

The support of d o[t] / d x is exact: what an output does not depend on has a gradient of zero. It
is united over several inputs and random directions, so that a closed ReLU or a maximum elsewhere
hides nothing. Whole numbers are followed from the first embedding on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from labbook.checks.bench import Bench
from labbook.checks.passes import given_x
from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Box", "Receptive", "Support", "receptive"]

Box = tuple[tuple[int, int], ...]

_DRAWS = 4
_PROBED = 5
"""Neighbouring outputs that are compared."""


@dataclass(frozen=True)
class Receptive:
    """What one output sees, for each axis of the input after the examples'.

    `size`: how much of the axis; `length`: all of it. `stride`: by how much the part moves from one
    output to the next, 0 where it does not. `jitter`: by how much sizes and strides vary, as those
    of pooling do. `axes`: for each input axis the output axis along which it moves, None where it
    does not.
    """

    size: tuple[int, ...]
    length: tuple[int, ...]
    stride: tuple[int, ...]
    jitter: tuple[int, ...]
    axes: tuple[int | None, ...]

    @property
    def is_global(self) -> bool:
        """Whether every output sees everything."""
        return self.size == self.length


def receptive(bench: Bench) -> Receptive:
    """Of the model's output in its middle; `bench.shared` it. Raises `Cannot`."""
    support = Support(bench)
    shape = support.output_shape
    middle = [size // 2 for size in shape]
    whole = support.box(middle)
    axes: list[int | None] = [None] * len(whole)
    stride = [0] * len(whole)
    jitter = [0] * len(whole)
    for axis, size in enumerate(shape):
        bench.tick()
        if size < 2:
            continue
        boxes = [support.box(place) for place in _beside(middle, axis, size)]
        for at in range(len(whole)):
            starts = [box[at][0] for box in boxes]
            ends = [box[at][1] for box in boxes]
            is_moving = len(set(starts)) > 1 or len(set(ends)) > 1
            if not is_moving or axes[at] is not None:
                continue
            axes[at] = axis
            steps = [b - a for edge in (starts, ends) for a, b in pairwise(edge)]
            steps = [step for step in steps if step > 0] or [0]
            stride[at] = round(sum(steps) / len(steps))
            sizes = [end - start for start, end in zip(starts, ends, strict=True)]
            jitter[at] = max(max(sizes) - min(sizes), max(steps) - min(steps))
    return Receptive(
        tuple(end - start for start, end in whole),
        support.input_shape,
        tuple(stride),
        tuple(jitter),
        tuple(axes),
    )


def _beside(middle: list[int], axis: int, size: int) -> Iterator[list[int]]:
    first = max(0, min(middle[axis] - _PROBED // 2, size - _PROBED))
    for at in range(first, min(first + _PROBED, size)):
        yield [at if i == axis else place for i, place in enumerate(middle)]


class Support:
    """Boxes of the input that reach one output; some inputs are kept to try."""

    def __init__(self, bench: Bench) -> None:
        import torch

        model = bench.model().eval()
        self.bench, self.model = bench, model
        self.batch = bench.batch.take(list(range(min(2, bench.batch.n))))
        x = given_x(self.batch)
        if x is None or x.ndim < 2:
            raise Cannot("the model gets no tensor with an axis beside the examples'")
        self.x = x
        self.input_shape = tuple(x.shape[1:])
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        with torch.no_grad():
            output = bench.tensor(bench.forward(model, self.batch))
        self.output_shape = tuple(output.shape[1:])
        if not self.output_shape or len(output) != len(x):
            raise Cannot("the output has no axis beside the examples'")
        self._grads: dict[tuple[int, ...], Box] = {}

    def box(self, place: list[int]) -> Box:
        """(start, end) along each axis of the input that reaches this output."""
        key = tuple(place)
        if key not in self._grads:
            self._grads[key] = self._measured(place)
        return self._grads[key]

    def _measured(self, place: list[int]) -> Box:
        import torch

        reached: Tensor | None = None
        for draw in range(_DRAWS):
            found = self._gradient(place, draw)
            is_there = (found != 0).any(0)
            reached = is_there if reached is None else reached | is_there
        assert reached is not None
        box = []
        for axis, size in enumerate(self.input_shape):
            others = [i for i in range(reached.ndim) if i != axis]
            line = reached.any(dim=others) if others else reached
            where = torch.nonzero(line[:size])[:, 0]
            box.append((int(where[0]), int(where[-1]) + 1) if len(where) else (0, 0))
        return tuple(box)

    def _gradient(self, place: list[int], draw: int) -> Tensor:
        import torch

        generator = torch.Generator().manual_seed(draw)
        if self.x.is_floating_point():
            noise = torch.randn(self.x.shape, generator=generator).to(self.x)
            scale = self.x.detach().float().std().to(self.x) + 1e-3
            leaf = (self.x.detach() + (draw > 0) * scale * noise).requires_grad_(True)
            batch = self.batch.map_inputs(lambda t: leaf if t is self.x else t)
            output = self.bench.tensor(self.bench.forward(self.model, batch))
        else:
            with _embedded(self.model) as found:
                output = self.bench.tensor(self.bench.forward(self.model, self.batch))
            if not found:
                raise Cannot("the inputs are whole numbers, and no embedding takes them")
            leaf = found[0]
        at: Any = (slice(None), *place)
        unit = output[at]
        weights = torch.randn(unit.shape, generator=generator).to(unit)
        if not unit.requires_grad:
            raise Cannot("the output does not depend on the input")
        (grad,) = torch.autograd.grad((unit * weights).sum(), leaf, allow_unused=True)
        return torch.zeros_like(leaf) if grad is None else grad.detach().cpu()


@contextmanager
def _embedded(model: nn.Module) -> Iterator[list[Tensor]]:
    """What the first embedding returns, as the leaf that gradients are taken of."""
    from torch import nn

    found: list[Tensor] = []

    def hook(module: Any, args: Any, output: Tensor) -> Tensor | None:
        if found:
            return None
        found.append(output.detach().requires_grad_(True))
        return found[0]

    handles: list[Any] = []
    remember: Callable[[Any], None] = handles.append
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            remember(module.register_forward_hook(hook))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
