"""`labbook.same_as`: an implementation against a simpler one, in values and in gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves, mapped
from labbook.client.undisturbed import randomness_kept, seed_all
from labbook.errors import CheckFailed, MisuseError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["same_as"]


def same_as(
    fast: Callable[..., Any],
    slow: Callable[..., Any],
    inputs: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    gradients: bool = True,
    seed: int = 0,
) -> None:
    """Compare an implementation with a simpler one, in values and in gradients.

    Both are called with `inputs` (a tuple: `fast(*inputs)`; a mapping: `fast(**inputs)`; else one
    argument) under the same seed. Gradients of a fixed random combination of all outputs are
    compared for inputs of floats and for parameters that both modules name alike. An element may
    differ by `atol + rtol * |slow's|`; by default rtol is 1e-5 in float32 and 1e-10 in float64, and
    atol the same of the largest element. Raises `CheckFailed`, which names the worst element.
    """
    for name, function in (("fast", fast), ("slow", slow)):
        if not callable(function):
            raise MisuseError(f"same_as({name}=) takes a function, got {type(function).__name__}")
    if gradients:
        _name_parameters(fast, slow)
    ours = _called(fast, inputs, gradients, seed)
    theirs = _called(slow, inputs, gradients, seed)
    _compare("output", ours[0], theirs[0], rtol, atol)
    for name in ours[1].keys() | theirs[1].keys():
        one, other = ours[1].get(name), theirs[1].get(name)
        if one is None and other is None:
            continue
        if one is None or other is None:
            lacking = "fast" if one is None else "slow"
            raise CheckFailed(f"the gradient of {name} does not reach it in {lacking}")
        _compare(f"gradient of {name}", [one], [other], rtol, atol)


def _name_parameters(fast: Any, slow: Any) -> None:
    import torch

    if not (isinstance(fast, torch.nn.Module) and isinstance(slow, torch.nn.Module)):
        return
    ours, theirs = dict(fast.named_parameters()), dict(slow.named_parameters())
    for name in ours.keys() & theirs.keys():
        if ours[name].shape == theirs[name].shape and not torch.equal(ours[name], theirs[name]):
            raise MisuseError(
                f"same_as(): {name} differs between the two modules; "
                "slow.load_state_dict(fast.state_dict()) first"
            )


def _called(
    function: Callable[..., Any], inputs: Any, gradients: bool, seed: int
) -> tuple[list[Tensor], dict[str, Tensor | None]]:
    """Outputs, and gradients by name of what they are of."""
    import torch

    own = mapped(inputs, lambda t: _leaf(t, gradients))
    args, kwargs = _arguments(own)
    with randomness_kept():
        seed_all(seed)
        with torch.set_grad_enabled(gradients):
            outputs = list(leaves(function(*args, **kwargs)))
    if not outputs:
        raise MisuseError("same_as() compares functions that return tensors")
    wanted = {f"input {i}": t for i, t in enumerate(leaves(own)) if t.requires_grad}
    if isinstance(function, torch.nn.Module):
        wanted |= {name: p for name, p in function.named_parameters() if p.requires_grad}
    roots = [o for o in outputs if o.requires_grad]
    found: dict[str, Tensor | None] = {}
    if gradients and roots and wanted:
        generator = torch.Generator().manual_seed(seed)
        total = sum((o * torch.randn(o.shape, generator=generator).to(o)).sum() for o in roots)
        assert isinstance(total, torch.Tensor)
        grads = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
        found = dict(zip(wanted, grads, strict=True))
    return [o.detach() for o in outputs], found


def _leaf(tensor: Tensor, gradients: bool) -> Tensor:
    made = tensor.detach().clone()
    return made.requires_grad_(gradients and (made.is_floating_point() or made.is_complex()))


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs), {}) if isinstance(inputs, (tuple, list)) else ((inputs,), {})


def _compare(
    what: str,
    ours: Sequence[Tensor],
    theirs: Sequence[Tensor],
    rtol: float | None,
    atol: float | None,
) -> None:
    import torch

    if len(ours) != len(theirs):
        raise CheckFailed(f"fast returns {len(ours)} tensors, slow {len(theirs)}")
    for at, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        name = what if len(ours) == 1 else f"{what} {at}"
        if one.shape != other.shape:
            raise CheckFailed(
                f"{name}: shape {tuple(one.shape)} in fast, {tuple(other.shape)} in slow"
            )
        if not one.numel():
            continue
        a, b = one.to(other.device).double(), other.double()
        same = (a == b) | (a.isnan() & b.isnan())
        apart = torch.where(same, torch.zeros_like(a), (a - b).abs()).nan_to_num(nan=float("inf"))
        default = 1e-10 if one.dtype == other.dtype == torch.float64 else 1e-5
        largest = float(b[b.isfinite()].abs().max()) if bool(b.isfinite().any()) else 0.0
        relative = default if rtol is None else rtol
        bound = (default * largest if atol is None else atol) + relative * b.abs().nan_to_num()
        if bool((apart > bound).any()):
            raise CheckFailed(_worst(name, a, b, apart, bound))


def _worst(name: str, a: Tensor, b: Tensor, apart: Tensor, bound: Tensor) -> str:
    import torch

    place = int((apart - bound).argmax())
    index = tuple(int(i) for i in torch.unravel_index(torch.tensor(place), a.shape))
    n = int((apart > bound).sum())
    return (
        f"{name}: {n} of {a.numel()} elements differ, most at {list(index)}: "
        f"{float(a[index]):.9g} in fast, {float(b[index]):.9g} in slow, "
        f"{float(apart[index]):.3g} apart (allowed {float(bound[index]):.3g})"
    )
