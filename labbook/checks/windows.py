"""Windows: what a person would have to judge, if they were given what one output sees.

Can you do the task, as it is given to the model? Windows are cut from examples at the size of the
receptive field, at places drawn by the seed alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labbook.checks.bench import Bench
from labbook.checks.passes import Pass, class_labels, train_pass, val_pass
from labbook.checks.receptive import Box, Receptive, Support, receptive
from labbook.checks.rule import Cannot
from labbook.checks.shown import Levels, Shown, levels_of, shown
from labbook.checks.targets import ignored_label
from labbook.client.selection import draw

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Window", "Windows", "windows"]


@dataclass(frozen=True)
class Window:
    """One window: which example, which part of it, how it looks, and its class.

    `digest` tells whether an answer, given later, is about this window.
    """

    number: int
    example: str
    box: Box
    what: Shown
    target: int
    digest: str


@dataclass(frozen=True)
class Windows:
    """All of them, what one output sees, and the classes that targets have."""

    windows: tuple[Window, ...]
    field: Receptive | None
    classes: tuple[int, ...]

    @property
    def about(self) -> str:
        """What they show, in a sentence."""
        n, kinds = len(self.windows), len(self.classes)
        field = self.field
        seen = "whole examples: every output sees everything"
        if field is not None and not field.is_global:
            shape = " x ".join(map(str, field.size))
            whole = " x ".join(map(str, field.length))
            seen = f"windows of {shape} of {whole}, what one output sees"
        named = ", ".join(map(str, self.classes[:20])) + (", …" if kinds > 20 else "")
        if kinds > 2 and self.classes == tuple(range(self.classes[0], self.classes[0] + kinds)):
            named = f"{self.classes[0]} to {self.classes[-1]}"
        return f"{n} {seen}. Classes: {named}."


def windows(bench: Bench, n: int = 20) -> Windows:
    """Cut `n` windows from validation data, or training data without. Raises `Cannot`."""
    seen = bench.shared(val_pass if bench.subject.val is not None else train_pass)
    stacked = seen.stacked
    labels = class_labels(seen)
    if labels is not None:
        places = draw(len(labels), n, bench.seed, " windows")
        chosen = [(at, _all_of(stacked[at]), int(labels[at])) for at in places]
        field = _field(bench)
    else:
        field = bench.shared(receptive)
        chosen = _dense(bench, seen, field, n)
    levels = levels_of(stacked)
    made = [_window(number, seen, one, levels) for number, one in enumerate(chosen, 1)]
    known = labels if labels is not None else _dense_targets(seen)
    import torch

    ignored = bench.shared(ignored_label)
    classes = [int(c) for c in torch.unique(known) if int(c) >= 0 and int(c) != ignored]
    return Windows(tuple(made), field, tuple(classes))


def _field(bench: Bench) -> Receptive | None:
    """For one class an example, the whole example is judged anyway."""
    try:
        return bench.shared(receptive)
    except Cannot:
        return None


def _all_of(x: Tensor) -> Box:
    return tuple((0, size) for size in x.shape)


def _dense_targets(seen: Pass) -> Tensor:
    import torch

    parts = seen.targets
    shapes = {t.shape[1:] for t in parts}
    if not parts or parts[0].is_floating_point() or parts[0].ndim < 2 or len(shapes) != 1:
        raise Cannot("a person can be asked for classes, and targets are none")
    return torch.cat(parts)


def _dense(bench: Bench, seen: Pass, field: Receptive, n: int) -> list[tuple[int, Box, int]]:
    """A place in an example for each: the target there, and what the output there sees."""
    targets = _dense_targets(seen)
    support = Support(bench)
    axes = sorted({axis for axis in field.axes if axis is not None})
    if not axes or tuple(support.output_shape[a] for a in axes) != tuple(targets.shape[1:]):
        raise Cannot("targets have no place that belongs to one output")
    found = []
    ignored = bench.shared(ignored_label)
    for at in draw(targets.numel(), n, bench.seed, " windows"):
        bench.tick()
        target = int(targets.reshape(-1)[at])
        if target < 0 or target == ignored:  # left out of the loss
            continue
        place, rest = [], at
        for size in reversed(targets.shape):
            place.append(rest % size)
            rest //= size
        example, *where = reversed(place)
        output = [size // 2 for size in support.output_shape]
        for axis, position in zip(axes, where, strict=True):
            output[axis] = position
        found.append((example, support.box(output), target))
    return found


def _window(number: int, seen: Pass, chosen: tuple[int, Box, int], levels: Levels) -> Window:
    at, box, target = chosen
    x: Tensor = seen.stacked[at]
    cut = x[tuple(slice(start, end) for start, end in box)].contiguous()
    content = cut.float() if cut.is_floating_point() else cut
    digest = hashlib.blake2b(content.numpy().tobytes(), digest_size=4).hexdigest()
    return Window(number, seen.names[at], box, shown(cut, levels), target, digest)
