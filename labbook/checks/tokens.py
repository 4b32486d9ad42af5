"""Token by token: which target an output is compared with, and which tokens it could see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch, leaves, mapped
from labbook.checks.bench import Bench
from labbook.checks.graph import pulled
from labbook.checks.models import in_eval
from labbook.checks.rule import Cannot
from labbook.client.undisturbed import seed_all

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Tokens", "future_seen", "predicted", "tokens"]


@dataclass(frozen=True)
class Tokens:
    """A batch of token ids, targets of the same tokens, and how far the targets are shifted.

    `shifts`: y[t] = x[t + shift] for all positions that count; several for periodic text.
    `axis` is that of time, in `x` (which is one of the model's inputs) and in `y`.
    """

    batch: Batch
    x: Tensor
    y: Tensor
    axis: int
    shifts: tuple[int, ...]


def tokens(bench: Bench) -> Tokens:
    """`bench.shared` it. Raises `Cannot` where targets are not the input's tokens."""
    batch = bench.batch
    target = next(leaves(batch.target), None)
    if target is None or target.is_floating_point() or target.ndim < 1:
        raise Cannot("the targets are no tokens")
    found: list[Tokens] = []
    for x in batch.inputs:
        is_labels = x is target and len(batch.inputs) > 1
        if is_labels or x.is_floating_point() or x.ndim != 2 or x.numel() != target.numel():
            continue
        y = target.reshape(x.shape).to(x.device)
        if not bool(((y == y.reshape(-1)[0]) | (y < 0)).all()):
            aligned = _aligned(batch, x, y)
            found += [aligned] if aligned is not None else []
    if not found:
        raise Cannot("the targets are not the tokens of an input")
    if len(found) > 1:
        raise Cannot("two inputs hold the targets' tokens")
    return found[0]


def _aligned(batch: Batch, x: Tensor, y: Tensor) -> Tokens | None:
    for axis in (1, 0):
        shifts = tuple(s for s in (1, 0, 2, -1, 3, -2, -3) if _is_shift(x, y, axis, s))
        if shifts:
            return Tokens(batch, x, y, axis, shifts)
    return None


def _is_shift(x: Tensor, y: Tensor, axis: int, shift: int) -> bool:
    size = x.shape[axis] - abs(shift)
    if size < 2:
        return False
    seen = x.narrow(axis, max(shift, 0), size)
    wanted = y.narrow(axis, max(-shift, 0), size)
    counts = wanted >= 0  # -100 is left out
    n = int(counts.sum())
    return n >= 4 and bool((seen == wanted)[counts].double().mean() > 0.98)


def predicted(bench: Bench, found: Tokens) -> int | None:
    """How many tokens ahead the loss makes an output predict: 1 for the next token.

    Changes the target at one position and looks at which output's gradient moves. None where
    that is not clear.
    """
    import torch

    model = in_eval(bench)
    middle = found.x.shape[found.axis] // 2
    at = [slice(None)] * 2
    at[found.axis] = slice(middle, middle + 1)
    other = found.y.clone()
    n_tokens = int(torch.stack([found.x.max(), found.y.max()]).max()) + 1
    other[tuple(at)] = (other[tuple(at)].clamp(min=0) + 1) % max(n_tokens, 2)
    moved = [_gradient(bench, model, found, y) for y in (found.y, other)]
    if moved[0] is None or moved[1] is None:
        return None
    change = (moved[0] - moved[1]).abs()
    per_position = change.amax([d for d in range(change.ndim) if d != found.axis])
    hit = [int(i) for i in (per_position > 1e-3 * per_position.max()).nonzero().flatten()]
    if len(hit) != 1 or float(per_position.max()) == 0.0:
        return None
    ahead = [middle - hit[0] + shift for shift in found.shifts]
    return 1 if 1 in ahead else ahead[0]


def _gradient(bench: Bench, model: nn.Module, found: Tokens, y: Tensor) -> Tensor | None:
    """Of the loss by the outputs, as (rows, columns of `x`, …)."""
    import torch

    target = next(leaves(found.batch.target))

    def changed(t: Tensor) -> Tensor:
        return y.reshape(t.shape) if t is target else t

    batch = Batch(
        mapped(found.batch.args, lambda t: changed(t) if t is not found.x else t),
        mapped(found.batch.kwargs, lambda t: changed(t) if t is not found.x else t),
        mapped(found.batch.target, changed),
        found.batch.raw,
    )
    seed_all(bench.seed)
    outcome = bench.run(model, batch)
    if not outcome.tensor.requires_grad or not outcome.loss.requires_grad:
        return None
    [gradient] = pulled([outcome.loss], [outcome.tensor], [torch.ones_like(outcome.loss)])
    return None if gradient is None else _by_position(gradient, found.x)


def _by_position(output: Tensor, x: Tensor) -> Tensor:
    """Outputs as (rows, columns of `x`, …), from (rows, columns, V), (rows, V, columns), flat."""
    rows, columns = x.shape
    if output.ndim >= 2 and tuple(output.shape[:2]) == (rows, columns):
        return output
    if output.ndim == 3 and (output.shape[0], output.shape[2]) == (rows, columns):
        return output.transpose(1, 2)
    if len(output) == rows * columns:
        return output.reshape(rows, columns, -1)
    if output.ndim >= 2 and tuple(output.shape[:2]) == (columns, rows):
        return output.transpose(0, 1)
    raise Cannot("the output has no row a token")


def future_seen(bench: Bench, model: nn.Module, found: Tokens) -> float | None:
    """How much an output changes when later tokens do, over how much it differs between rows.

    In eval mode, every later token replaced. None where the output never differs.
    """
    import torch

    size = found.x.shape[found.axis]
    middle = size // 2
    later = found.x.clone()
    tail = later.narrow(found.axis, middle + 1, size - middle - 1)
    kept = tail.clone()
    tail.copy_(kept.flip(0, 1).roll(1, 0))
    if torch.equal(tail, kept):
        tail.copy_(kept.max() + kept.min() - kept)
    changed = Batch(
        mapped(found.batch.args, lambda t: later if t is found.x else t),
        mapped(found.batch.kwargs, lambda t: later if t is found.x else t),
        found.batch.target,
        found.batch.raw,
    )
    with torch.no_grad():
        one, other = (_outputs(bench, model, b, found) for b in (found.batch, changed))
    before = one.narrow(found.axis, 0, middle + 1).double()
    moved = (before - other.narrow(found.axis, 0, middle + 1).double()).abs()
    scale = float((one.double() - one.double().mean((0, 1))).abs().max())
    return float(moved.max()) / scale if scale > 0 else None


def _outputs(bench: Bench, model: nn.Module, batch: Any, found: Tokens) -> Tensor:
    seed_all(bench.seed)
    return _by_position(bench.tensor(bench.forward(model, batch)), found.x)
