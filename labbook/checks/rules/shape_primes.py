"""Every axis of every output named, by a forward pass whose axes are different primes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch, leaves
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.mixing import few
from labbook.checks.models import in_eval
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule

if TYPE_CHECKING:
    from torch import Tensor, nn

SHAPES = Rule(
    "model/shape-primes",
    kind="probe",
    stage="model",
    says="the shapes, with their axes named",
    formula="one forward pass in eval mode, each free axis of the inputs a prime of its own; an "
    "output's size names the axes that are its factors. Always a note: a table to read",
    needs=("loader",),
    follows=("model/batch-dim",),
    advice="sanity check the model with dummy data of prime dimensions",
    causes=("nothing is wrong: read it once",),
    fix="look for a B, H, W or T where it does not belong",
    source="Shelhamer, DIY Deep Learning",
)

_PRIMES = (61, 67, 53, 71, 59, 73, 47, 79, 43, 83, 37, 89, 31, 29, 23, 19, 17, 13, 11, 7, 5, 3)
_MOST_ROWS = 24
_LARGEST = 128
"""An axis longer than this is left as it is: a model of long inputs need not take short ones."""


@dataclass(frozen=True)
class _Axis:
    """A free axis: its name, and the size it has in the data."""

    name: str
    at: int
    size: int


@dataclass(frozen=True)
class _Named:
    """An axis of the inputs, and its size in the two passes."""

    name: str
    at: int
    one: int
    other: int


@SHAPES.on_subject
def shapes(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Try which axes are free, give each a prime, twice, and name what follows them."""
    batch = few(bench)
    model = in_eval(bench)
    if not _works(bench, model, batch):
        raise Cannot("the model does not take a few examples")
    free: dict[_Axis, tuple[int, int]] = {}
    for axis in _axes(batch):
        bench.tick()
        taken = {batch.n, batch.n - 1, *(p for pair in free.values() for p in pair)}
        found: list[int] = []
        for prime in _near(axis.size, taken):
            trial = _sized(batch, {**free, axis: (prime, prime)})
            found += [prime] if _works(bench, model, trial) else []
            if len(found) == 2:
                free[axis] = (found[0], found[1])
                break
    fewer = batch.take(list(range(batch.n - 1)))
    rows = _rows(bench, model, _sized(batch, free))
    others = _rows(bench, model, _sized(fewer, free, second=True))
    if [name for name, _ in rows] != [name for name, _ in others]:
        raise Cannot("which modules run depends on the data")
    named = [_Named("B", 0, batch.n, fewer.n)]
    named += [_Named(axis.name, axis.at, *pair) for axis, pair in free.items()]
    shown = [
        f"{name}: {_shape(one, other, named)}"
        for (name, one), (_, other) in zip(rows, others, strict=True)
    ]
    yield SHAPES.note(where=place_of(type(model)), evidence=_table(shown, named))


def _table(shown: Sequence[str], named: Sequence[_Named]) -> str:
    sizes = ", ".join(f"{axis.name} = {axis.one}" for axis in named)
    left = f"; and {len(shown) - _MOST_ROWS} more" if len(shown) > _MOST_ROWS else ""
    only = "" if len(named) > 1 else ", no other axis is free"
    return f"{sizes}{only}: " + "; ".join(shown[:_MOST_ROWS]) + left


def _axes(batch: Batch) -> list[_Axis]:
    """The axes of the first input but the first one, named after what they mostly are."""
    x = batch.x
    if x.is_floating_point():
        names = {2: "F", 3: "TF", 4: "CHW", 5: "CDHW"}.get(x.ndim, "")
    else:
        names = "TUVW"[: x.ndim - 1]
    pairs = zip(names, x.shape[1:], strict=False)
    return [
        _Axis(name, at, size) for at, (name, size) in enumerate(pairs, 1) if 1 < size <= _LARGEST
    ]


def _near(size: int, taken: Collection[int]) -> list[int]:
    """Primes near a size that are neither it nor taken, at most six, larger ones first."""
    fitting = sorted(
        (p for p in _PRIMES if p != size and p not in taken), key=lambda p: abs(p - size)
    )
    larger, smaller = ([p for p in fitting if (p > size) is side][:3] for side in (True, False))
    return [*larger, *smaller]


def _sized(batch: Batch, free: Mapping[_Axis, tuple[int, int]], second: bool = False) -> Batch:
    """The batch with free axes repeated or cut to their primes: values stay legal tokens."""
    import torch

    like = batch.x.shape
    sizes = {axis: pair[second] for axis, pair in free.items()}

    def change(t: Tensor) -> Tensor:
        made = t
        for axis, size in sizes.items():
            if t.ndim > axis.at and t.shape[axis.at] == like[axis.at]:
                index = torch.arange(size, device=t.device) % axis.size
                made = made.index_select(axis.at, index)
        return made

    return batch.map_inputs(change)


def _works(bench: Bench, model: nn.Module, batch: Batch) -> bool:
    import torch

    try:
        with torch.no_grad():
            bench.forward(model, batch)
    except Cannot:
        return False
    return True


def _rows(bench: Bench, model: nn.Module, batch: Batch) -> list[tuple[str, tuple[int, ...]]]:
    """Inputs, then the outputs of the modules without parts, in the order they ran."""
    import torch

    found = [("input", tuple(t.shape)) for t in batch.inputs]

    def look(name: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            made = next(leaves(output), None)
            if made is not None:
                found.append((f"{name} ({type(module).__name__})", tuple(made.shape)))

        return hook

    parts = [(n, m) for n, m in model.named_modules() if n and not any(m.children())]
    handles = [m.register_forward_hook(look(name)) for name, m in parts]
    try:
        with torch.no_grad():
            output = bench.forward(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return [*found, ("output", tuple(bench.tensor(output).shape))]


def _shape(one: Sequence[int], other: Sequence[int], named: Sequence[_Named]) -> str:
    if len(one) != len(other):
        return f"{tuple(one)} or {tuple(other)}"
    pairs = enumerate(zip(one, other, strict=True))
    return " × ".join(_name(a, b, at, named) for at, (a, b) in pairs) or "one number"


def _name(one: int, other: int, at: int, named: Sequence[_Named]) -> str:
    """`B`, `B·T`, `16·H`, `H/2` (about), `H−2`: what follows the axes; else the number.

    `one` and `other` are the sizes in the two passes.
    """
    if one == other:
        return str(one)
    words: list[str] = []
    a, b = one, other
    for axis in named:
        if a % axis.one == 0 and b % axis.other == 0:
            words, a, b = [*words, axis.name], a // axis.one, b // axis.other
    if words and a == b:
        return "·".join([*([str(a)] if a > 1 else []), *words])
    close = [found for axis in named[1:] for found in _close(one, other, axis, axis.at == at)]
    return min(close)[1] if close else f"{one} or {other}"


def _close(one: int, other: int, axis: _Named, is_there: bool) -> Iterator[tuple[float, str]]:
    """What a size could be of an axis, with how far that is fetched; the same place is near."""
    there = 0.0 if is_there else 3.0
    more = one - axis.one
    if more == other - axis.other and abs(more) <= 4:
        yield there + abs(more) / 4, f"{axis.name}{'+' if more > 0 else '−'}{abs(more)}"
    for d in (2, 4, 8, 16, 32):
        far = max(abs(one - axis.one / d), abs(other - axis.other / d))
        if far <= 2 and one > 1:
            yield there + far / 2, f"{axis.name}/{d}"
