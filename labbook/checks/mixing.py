"""Whether one example's output depends on another example, and at which call it starts to.

Source: gradients chart dependencies (Karpathy, A Recipe for Training Neural Networks); a random
direction over the outputs, because the sum of a softmax has no gradient at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch, leaves
from labbook.checks.bench import Bench, UserError
from labbook.checks.graph import pulled
from labbook.checks.models import in_eval
from labbook.checks.rule import Cannot
from labbook.checks.torch_calls import Call, torch_calls
from labbook.checks.trained import copied
from labbook.client.undisturbed import seed_all

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Mixing", "few", "mixing", "per_example", "stepped", "time_first"]

_PRIMES = (7, 11, 13, 5, 3, 2)


@dataclass(frozen=True)
class Mixing:
    """The largest gradient on another example over that on its own, and where it starts."""

    share: float
    where: str = ""
    call: str = ""


def few(bench: Bench, least: int = 3) -> Batch:
    """A batch of a prime number of examples that no other axis is a multiple of.

    Raises `Cannot` where the first axis does not count examples, or there are too few.
    """
    if not bench.batch.inputs:
        raise Cannot("the model gets no tensor")
    if bench.shared(time_first):
        raise Cannot("the first axis of the input counts time, not examples")
    whole = bench.batch
    if whole.n < 7:
        whole = bench.examples(14)
    if any(t.ndim and len(t) != whole.n for t in whole.inputs):
        raise Cannot("the model's inputs differ in their number of rows: no example stands alone")
    sizes = {size for t in whole.inputs for size in t.shape[1:] if size > 1}
    sizes |= _output_sizes(bench, whole)
    fitting = [p for p in _PRIMES if least <= p <= whole.n]
    if not fitting:
        raise Cannot(f"too few examples in a batch ({whole.n})")
    prime = next((p for p in fitting if all(size % p for size in sizes)), fitting[0])
    return whole.take(list(range(prime)))


def _output_sizes(bench: Bench, batch: Batch) -> set[int]:
    """The sizes of the output's axes but the first, and but those that count examples."""
    import torch

    with torch.no_grad():
        output = bench.forward(in_eval(bench), batch)
    found = {size for t in leaves(output) for size in t.shape[1:]}
    return {size for size in found if size > 1 and size % batch.n}


def time_first(bench: Bench) -> bool:
    """Whether tokens lie as (time, examples): the targets are the inputs shifted along axis 0."""
    target = next(leaves(bench.batch.target), None)
    if target is None or target.is_floating_point():
        return False
    for x in bench.batch.inputs:
        if x.ndim != 2 or x.is_floating_point() or x.numel() != target.numel() or len(x) < 3:
            continue
        y = target.reshape(x.shape).to(x.device)
        along = [bool((y[:-1] == x[1:]).all()), bool((y[:, :-1] == x[:, 1:]).all())]
        if along[0] and not along[1]:
            return True
    return False


def per_example(bench: Bench, output: Any, n: int) -> list[Tensor]:
    """The float tensors of an output that have a row (or `k` rows) an example."""
    found = [bench.tensor(output), *leaves(output)]
    kept: dict[int, Tensor] = {}
    for t in found:
        rows = _rows_first(t, n)
        if rows is not None:
            kept.setdefault(id(t), rows)
    return list(kept.values())


def _rows_first(t: Tensor, n: int) -> Tensor | None:
    """The tensor with examples (or `k` rows an example) along axis 0, where it has them."""
    if not t.is_floating_point() or not t.ndim or not len(t):
        return None
    if t.ndim >= 2 and t.shape[1] == n:
        # (n, n) compares examples with each other; (time, n, …) is the other way round
        return None if len(t) == n else t.transpose(0, 1)
    return t if len(t) % n == 0 else None


def mixing(bench: Bench, model: nn.Module, batch: Batch) -> Mixing | None:
    """How far the output of one example depends on others; None where it depends on nothing.

    The model is used in the mode it is in. Locates the first call only where there is mixing.
    Raises `Cannot` where the output has no rows of examples.
    """
    n = batch.n
    share = _share(bench, model, batch, n)
    if share is None or (share <= 1e-6 and not model.training):
        # what takes no gradient, or was detached; norms in train mode mix by design
        share = max_or_none((share, _by_value(bench, model, batch, n)))
    if share is None:
        return None
    if share <= 1e-6:
        return Mixing(share)
    return Mixing(share, *_first_call(bench, model, batch, n))


def _sources(batch: Batch, model: nn.Module) -> tuple[Batch, list[Tensor], list[Any]]:
    """The batch with inputs that take a gradient; embeddings of tokens take it at their output."""
    import torch

    sources: list[Tensor] = []

    def open_(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point() or not tensor.ndim:
            return tensor
        made = tensor.detach().clone().requires_grad_()
        sources.append(made)
        return made

    opened = batch.map_inputs(open_)
    n = batch.n

    def embedded(module: Any, args: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or not output.ndim or len(output) != n:
            return None
        made = output.detach().requires_grad_()
        sources.append(made)
        return made

    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    handles = [m.register_forward_hook(embedded) for m in model.modules() if isinstance(m, kinds)]
    return opened, sources, handles


def _run(
    bench: Bench, model: nn.Module, batch: Batch, calls: list[Call] | None = None
) -> tuple[Any, list[Tensor]]:
    from contextlib import nullcontext

    opened, sources, handles = _sources(batch.to(bench.device_of(model)), model)
    seed_all(bench.seed)
    try:
        with torch_calls(calls) if calls is not None else nullcontext():
            output = bench.forward(model, opened)
    finally:
        for handle in handles:
            handle.remove()
    return output, sources


def _share(bench: Bench, model: nn.Module, batch: Batch, n: int) -> float | None:
    output, sources = _run(bench, model, batch)
    tensors = per_example(bench, output, n)
    if not tensors:
        raise Cannot("the output has no row an example")
    return max_or_none(_ratio(bench, t, sources, n) for t in tensors)


def max_or_none(values: Any) -> float | None:
    """The largest of those that are not None."""
    known = [v for v in values if v is not None]
    return max(known) if known else None


def _ratio(bench: Bench, tensor: Tensor, sources: list[Tensor], n: int) -> float | None:
    """The largest gradient on other examples over that on the example itself."""
    import torch

    if not tensor.requires_grad or not sources:
        return None
    rows = tensor.reshape(n, -1)
    chosen = min(2, n - 1)
    generator = torch.Generator().manual_seed(bench.seed)
    v = torch.randn(rows.shape[1], generator=generator).to(rows)
    gradients = pulled([rows[chosen]], sources, [v])
    own, others = 0.0, 0.0
    for gradient in gradients:
        if gradient is None or len(gradient) != n:
            continue
        size = gradient.detach().abs().reshape(n, -1).amax(1).double()
        own = max(own, float(size[chosen]))
        size[chosen] = 0
        others = max(others, float(size.max()))
    if own == 0.0 and others == 0.0:
        return None
    if not math.isfinite(own) or not math.isfinite(others):
        raise Cannot("the gradients are not finite")
    return others / own if own else float("inf")


def _by_value(bench: Bench, model: nn.Module, batch: Batch, n: int) -> float | None:
    """The same by changing the other examples, for inputs that take no gradient.

    What a rounding could do is nothing.
    """
    import torch

    chosen = min(2, n - 1)
    others = [i if i == chosen else 0 for i in range(n)]  # not a permutation: means change too
    changed = batch.take(others)
    with torch.no_grad():
        one, other = (_plain(bench, model, b) for b in (batch, changed))
    moved, own = 0.0, 0.0
    pairs = zip(per_example(bench, one, n), per_example(bench, other, n), strict=False)
    for a, b in pairs:
        rows, changed_rows = a.reshape(n, -1).double(), b.reshape(n, -1).double()
        moved = max(moved, float((rows[chosen] - changed_rows[chosen]).abs().max()))
        own = max(own, float((rows - rows[chosen]).abs().max()))
    if own == 0.0 and moved == 0.0:
        return None
    share = moved / own if own else float("inf")
    return share if share > 1e-4 else 0.0


def _plain(bench: Bench, model: nn.Module, batch: Batch) -> Any:
    seed_all(bench.seed)
    return bench.forward(model, batch)


def _first_call(bench: Bench, model: nn.Module, batch: Batch, n: int) -> tuple[str, str]:
    """The first call whose result mixes: its line and its name."""
    calls: list[Call] = []
    _, sources = _run(bench, model, batch, calls)
    for call in calls:
        if bench.seconds_left < 1:
            break
        for t in leaves(call.result):
            if not _has_rows(t, n):
                continue
            ratio = _ratio(bench, t, sources, n)
            if ratio is not None and ratio > 1e-6:
                return call.where, call.name
    return "", ""


def _has_rows(tensor: torch.Tensor, n: int) -> bool:
    floats = tensor.is_floating_point() and tensor.requires_grad
    return floats and tensor.ndim > 0 and len(tensor) > 0 and len(tensor) % n == 0


def stepped(bench: Bench) -> nn.Module:
    """A copy of the model after three steps of Adam at 1e-3, in eval mode.

    What starts at zero is open then, whatever the user's rate is.
    """
    return copied(bench.shared(_opened)).eval()


def _opened(bench: Bench) -> nn.Module:
    import torch

    model = bench.model()
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        return model
    optimizer = torch.optim.Adam(trainable, 1e-3)
    for batch in bench.first(3):
        bench.tick()
        try:
            bench.step(model, optimizer, batch)
        except (UserError, RuntimeError):
            return bench.model()
    return model
