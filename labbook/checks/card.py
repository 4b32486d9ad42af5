"""The data card: examples as the model is given them, picked so that what is wrong catches the eye.

A random selection, outliers, nearest neighbours in the raw data and in the features of the net as
it is before training, and examples at the quartiles of the loss. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from labbook.checks.bench import Bench
from labbook.checks.entry import has_weights
from labbook.checks.neighbours import MOST, Near, nearest, standardized, train_near
from labbook.checks.page import Cell, Part, page
from labbook.checks.passes import Pass, class_labels, train_pass
from labbook.checks.rule import Cannot
from labbook.checks.shown import levels_of, shown
from labbook.client.selection import draw

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["card", "write_card"]

_SELECTED: Final = 10
_QUERIES: Final = 6
_NEIGHBOURS: Final = 3
_OUTLYING: Final = 1.7
"""Of the interquartile range above the third quartile, as cleanlab's 1 / 0.37037 - 1."""
_LOSSES: Final = 256


def write_card(bench: Bench, path: str | PathLike[str]) -> None:
    """Write the card as one HTML file, without scripts. Raises `Cannot` without a loader."""
    made = card(bench)
    name = bench.subject.name or "data"
    Path(path).write_text(page(f"{name}: data card", _about(bench), made), encoding="utf-8")


def card(bench: Bench) -> list[Part]:
    """The parts; one that cannot be made says why. Raises `Cannot` without a loader."""
    examples = _Examples(bench.shared(train_pass))
    makers: list[tuple[str, Callable[[Bench, _Examples], Part]]] = [
        ("A random selection", _selection),
        ("Outliers", _outliers),
        ("Nearest neighbours, by their values", _by_values),
        ("Nearest neighbours, by features of the untrained net", _by_features),
        ("From the least to the greatest loss, before training", _by_loss),
    ]
    parts = []
    for title, make in makers:
        try:
            parts.append(make(bench, examples))
        except Cannot as why:
            parts.append(Part(title, f"Not shown: {why}.", []))
    return parts


class _Examples:
    """A pass, and how to show its examples."""

    def __init__(self, seen: Pass) -> None:
        self.seen = seen
        self.levels = levels_of(seen.rows)
        self.labels = class_labels(seen)

    def cell(self, at: int, more: str = "") -> Cell:
        """One example: its name, its target, and what else is said."""
        words = [self.seen.names[at], self.target(at), more]
        return Cell(
            shown(self.seen.stacked[at], self.levels), ", ".join(word for word in words if word)
        )

    def target(self, at: int) -> str:
        """Its class, or its number; empty for anything else."""
        if self.labels is not None:
            return f"class {int(self.labels[at])}"
        for target in self.seen.targets:
            if at < len(target):
                value = target[at].reshape(-1)
                return f"target {float(value[0]):.3g}" if len(value) == 1 else ""
            at -= len(target)
        return ""


def _about(bench: Bench) -> str:
    seen = bench.shared(train_pass)
    rows = seen.rows.double()
    shape = " x ".join(map(str, seen.xs[0].shape[1:])) or "one number"
    labels = class_labels(seen)
    kinds = "" if labels is None else f", {len(labels.unique())} classes"  # type: ignore[no-untyped-call]
    return (
        f"The first {seen.n} examples as delivered: {shape}, {seen.xs[0].dtype}, mean "
        f"{float(rows.mean()):.3g}, standard deviation {float(rows.std()):.3g}, from "
        f"{float(rows.min()):.3g} to {float(rows.max()):.3g}{kinds}."
    )


def _selection(bench: Bench, examples: _Examples) -> Part:
    places = draw(len(examples.seen.rows), _SELECTED, bench.seed, " card")
    return Part(
        "A random selection",
        "Can you do the task, as it is given to the model?",
        [[examples.cell(at) for at in places]],
    )


def _outliers(bench: Bench, examples: _Examples) -> Part:
    import torch

    far = bench.shared(train_near).distances[:, :10].mean(1)
    first, third = (float(q) for q in torch.quantile(far, far.new_tensor([0.25, 0.75])))
    bound = third + _OUTLYING * (third - first)
    order = far.argsort(descending=True)[:_SELECTED].tolist()
    median = float(far.median())
    if median == 0:
        raise Cannot("most examples come several times")
    n = int((far > bound).sum())
    cells = [examples.cell(at, f"{float(far[at]) / median:.1f} times as far") for at in order]
    return Part(
        "Outliers",
        f"The farthest from their 10 nearest neighbours, against the median; {n} of {len(far)} lie "
        f"beyond the third quartile by {_OUTLYING} interquartile ranges.",
        [cells],
    )


def _by_values(bench: Bench, examples: _Examples) -> Part:
    return _neighbours(
        "Nearest neighbours, by their values", bench, examples, bench.shared(train_near)
    )


def _by_features(bench: Bench, examples: _Examples) -> Part:
    rows = standardized(bench.shared(untrained_features))
    found = nearest(rows, rows, among_itself=True)
    title = "Nearest neighbours, by features of the untrained net"
    return _neighbours(title, bench, examples, found)


def _neighbours(title: str, bench: Bench, examples: _Examples, found: Near) -> Part:
    places = draw(len(found.places), _QUERIES, bench.seed, " card")
    median = max(float(found.distances[:, 0].median()), 1e-12)
    rows = []
    for at in places:
        pairs = zip(
            found.places[at, :_NEIGHBOURS].tolist(), found.distances[at].tolist(), strict=False
        )
        near = [examples.cell(other, f"at {far / median:.2f}") for other, far in pairs]
        rows.append([examples.cell(at), *near])
    about = "An example and its 3 nearest, at distances against the median nearest one."
    labels = examples.labels
    if labels is not None and len(labels) >= len(found.places):
        own = labels[: len(found.places)]
        agree = float((labels[found.places[:, 0]] == own).double().mean())
        about += f" The nearest has the same class for {agree:.1%} of {len(own)}."
    return Part(title, about, rows)


def untrained_features(bench: Bench) -> Tensor:
    """What the last layer with weights gets, of the first examples; `bench.shared` it."""
    import torch

    model = bench.model().eval()
    seen = bench.shared(train_pass)
    last: list[Tensor] = []

    def keep(_: Any, args: Any) -> None:
        given = next((a for a in args if isinstance(a, torch.Tensor)), None)
        last[:] = [] if given is None else [given.detach()]

    handles = [m.register_forward_pre_hook(keep) for m in model.modules() if has_weights(m)]
    found: list[Tensor] = []
    n = 0
    try:
        with torch.no_grad():
            for batch in seen.batches:
                bench.tick()
                bench.forward(model, batch)
                if not last or len(last[0]) != batch.n:
                    raise Cannot("no layer with weights has one row an example")
                found.append(last[0].float().reshape(batch.n, -1).cpu())
                n += batch.n
                if n >= MOST:
                    break
    finally:
        for handle in handles:
            handle.remove()
    if len({part.shape[1] for part in found}) != 1:
        raise Cannot("features differ in length from batch to batch")
    return torch.cat(found)[:MOST]


def _by_loss(bench: Bench, examples: _Examples) -> Part:
    losses = list(_losses(bench, examples.seen))
    order = sorted(range(len(losses)), key=lambda at: losses[at])
    if not order:
        raise Cannot("no loss of a single example is finite")
    last = len(order) - 1
    places = sorted({round(last * part / 4) for part in range(5)})
    rows: Sequence[Sequence[Cell]] = [
        [examples.cell(order[rank], f"loss {losses[order[rank]]:.3g}") for rank in places]
    ]
    return Part(
        "From the least to the greatest loss, before training",
        f"At the least, the quartiles and the greatest of {len(order)} losses.",
        rows,
    )


def _losses(bench: Bench, seen: Pass) -> Iterator[float]:
    """Example by example, in eval mode."""
    import torch

    model = bench.model().eval()
    n = 0
    with torch.no_grad():
        for batch in seen.batches:
            for row in range(batch.n):
                bench.tick()
                yield float(bench.run(model, batch.take([row])).loss.nan_to_num(nan=float("inf")))
                n += 1
                if n >= _LOSSES:
                    return
