"""Analytic against numeric derivatives along random directions, in double precision.

Source: spherical directions catch a mistake in any dimension (Vieira, Testing gradients); away
from the initialisation, where zeros and ReLUs sit on kinks (CS231n, "characteristic mode").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch
from labbook.checks.bench import Bench, UserError
from labbook.checks.graph import Calls, calls_heard, nodes
from labbook.checks.mixing import stepped
from labbook.checks.rule import Cannot
from labbook.client.undisturbed import randomness_kept, seed_all

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Applied", "Slope", "applied", "slopes"]

_MOST_TENSORS = 48
_STEPS = (1e-5, 1e-6)
_FINE = 1e-4
_SECONDS = 8.0
"""A large net is looked at in part."""


@dataclass(frozen=True)
class Slope:
    """A parameter: the median relative error over directions, and one pair of the numbers."""

    name: str
    error: float
    analytic: float
    numeric: float


@dataclass(frozen=True)
class Applied:
    """A custom autograd function, and the arguments of one call of it."""

    kind: Any
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Slopes:
    """By parameter; the custom functions called; whether the forward pass cuts gradients off."""

    slopes: tuple[Slope, ...]
    functions: tuple[Applied, ...]
    cuts: Calls
    is_of_loss: bool


def _double(bench: Bench) -> tuple[nn.Module, Batch]:
    """The model after its first steps, in eval mode and double precision, and three examples."""
    import torch

    model = stepped(bench).double()
    batch = bench.batch if bench.batch.n <= 4 else bench.batch.take(list(range(3)))
    generator = torch.Generator().manual_seed(bench.seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad and p.is_floating_point():
                p.add_(1e-4 * torch.randn(p.shape, generator=generator).to(p))
    return model, batch.map(lambda t: t.double() if t.is_floating_point() else t)


def slopes(bench: Bench) -> Slopes:
    """`bench.shared` it. Raises `Cannot` where double precision does not work."""
    import torch

    model, batch = _double(bench)
    value, is_of_loss = _value(bench, model, batch)
    calls = Calls()
    with calls_heard(calls):
        base = value()
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    if not named or not base.requires_grad:
        raise Cannot("the loss does not depend on any trainable parameter")
    if not bool(base.isfinite()):
        raise Cannot("the loss is not finite")
    functions = applied(base, value)
    try:
        got = torch.autograd.grad(base, [p for _, p in named], allow_unused=True)
    except Exception as error:  # whatever a backward of the user's raises
        raise Cannot(str(UserError("backward() in double precision", error))) from error
    pairs = [(n, p, g) for (n, p), g in zip(named, got, strict=True) if g is not None]
    stride = max(1, -(-len(pairs) // _MOST_TENSORS))
    pairs = pairs[::stride]
    found: list[Slope] = []
    padding = {
        id(m.weight): m.padding_idx
        for m in model.modules()
        if isinstance(m, (torch.nn.Embedding, torch.nn.EmbeddingBag))
    }
    started = time.monotonic()
    for name, p, g in [pair for n in range(4) for pair in pairs[n::4]]:  # all depths soon
        if found and (time.monotonic() - started > _SECONDS or bench.seconds_left < 3):
            break  # what was found so far is found
        found.append(_slope(bench, name, p, g, value, padding.get(id(p))))
    return Slopes(tuple(found), tuple(functions), calls, is_of_loss)


def _value(bench: Bench, model: nn.Module, batch: Batch) -> tuple[Callable[[], Tensor], bool]:
    """The loss as a function of nothing; a fixed mix of the outputs where it takes no doubles."""
    import torch

    def loss() -> Tensor:
        with randomness_kept():
            seed_all(bench.seed)
            return bench.run(model, batch).loss

    try:
        first = loss()
        if first.requires_grad and first.dtype == torch.float64:
            return loss, True
    except Cannot:
        pass

    def mix() -> Tensor:
        with randomness_kept():
            seed_all(bench.seed)
            output = bench.tensor(bench.forward(model, batch))
        generator = torch.Generator().manual_seed(bench.seed)
        v = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
        return (output * v).sum()

    try:
        if mix().dtype != torch.float64:
            raise Cannot("the model does not work in double precision: it casts to a smaller type")
    except UserError as error:
        raise Cannot(f"the model does not work in double precision: {error}") from error
    return mix, False


def _slope(  # noqa: PLR0917
    bench: Bench,
    name: str,
    p: Tensor,
    g: Tensor,
    value: Callable[[], Tensor],
    padding: int | None = None,
) -> Slope:
    import torch

    generator = torch.Generator().manual_seed(bench.seed)
    if g.is_sparse:
        g = g.to_dense()
    tries: list[tuple[float, float, float]] = []
    for n in range(3):
        if n == 2 and max(tries)[0] < _FINE:
            break  # the third could not change the median's verdict
        d = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p)
        if padding is not None:
            d[padding] = 0  # torch gives that row no gradient, whatever depends on it
        d /= d.norm().clamp(min=1e-30)
        analytic = float((g * d).sum())
        best = (float("inf"), 0.0, 0.0)
        quotients: list[float] = []
        for h in _STEPS:
            quotients.append(_difference(bench, p, d * h, value) / (2 * h))
            best = min(best, (_error(quotients[-1], analytic), quotients[-1], analytic))
            if best[0] < _FINE:
                break
        if best[0] >= _FINE and max(_error(q, quotients[0]) for q in quotients) > _UNSURE:
            best = (0.0, *best[1:])  # a kink, or too few digits: it says nothing
        elif best[0] >= _FINE and _agrees_farther(bench, p, d, value, analytic):
            best = (0.0, *best[1:])  # a smaller type within the forward pass
        tries.append(best)
    error, seen, said = sorted(tries)[1]
    return Slope(name, error, said, seen)


def _agrees_farther(
    bench: Bench, p: Tensor, d: Tensor, value: Callable[[], Tensor], analytic: float
) -> bool:
    quotients = (_difference(bench, p, d * h, value) / (2 * h) for h in (1e-4, 1e-3))
    return any(_error(quotient, analytic) < _UNSURE for quotient in quotients)


_UNSURE = 0.05
"""Difference quotients over two distances that differ by more tell nothing of the slope."""


def _error(numeric: float, analytic: float) -> float:
    return abs(numeric - analytic) / max(abs(numeric), abs(analytic), 1e-7)


def _difference(bench: Bench, p: Tensor, step: Tensor, value: Callable[[], Tensor]) -> float:
    """How much the value differs between a step forth and a step back."""
    import torch

    bench.tick()
    kept = p.detach().clone()
    seen = []
    for moved in (kept + step, kept - step):
        with torch.no_grad():  # each by itself: a model may switch gradients on
            p.copy_(moved)
            seen.append(float(value().detach()))
    with torch.no_grad():
        p.copy_(kept)
    return seen[0] - seen[1]


def applied(base: Tensor, value: Callable[[], Tensor]) -> list[Applied]:
    """The custom functions in the graph of `base`, each with the arguments of its first call.

    Not by `Function.apply`, which programs keep under another name (`relu = Relu.apply`).
    """
    kinds = {k for n in nodes([base]) if (k := getattr(n, "_forward_cls", None)) is not None}
    found: dict[Any, Applied] = {}
    with ExitStack() as after:
        for kind in kinds:
            after.enter_context(_forward_seen(kind, found))
        if kinds:
            value()
    return list(found.values())


@contextmanager
def _forward_seen(kind: Any, into: dict[Any, Applied]) -> Iterator[None]:
    import torch

    own = kind.__dict__.get("forward")
    original = kind.forward
    is_new_style = kind.setup_context is not torch.autograd.Function.setup_context

    def forward(*args: Any) -> Any:
        into.setdefault(kind, Applied(kind, args if is_new_style else args[1:]))
        return original(*args)

    kind.forward = staticmethod(forward)
    try:
        yield
    finally:
        if own is None:
            del kind.forward
        else:
            kind.forward = own
