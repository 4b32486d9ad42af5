"""Choosing examples that are followed from the first step to the last.

Invariant: which examples they are depends on the data and the seed alone, so that every run on this
data follows the same ones; what they are is stored once, with a digest that can be compared.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from labbook.client.chosen_set import ChosenSet, Handling
from labbook.client.dataset import read_examples, source_of
from labbook.client.examples import examples_record
from labbook.client.keeping import Keep, keeping
from labbook.client.outbox import Outbox
from labbook.client.parts import Target
from labbook.client.picking import By, pick
from labbook.client.recorder import Recorder
from labbook.client.schedule import Every, Schedule
from labbook.errors import MisuseError
from labbook.paths import component

if TYPE_CHECKING:
    from labbook.client.observe import Forward

__all__ = ["BATCH_SIZE", "choose"]

BATCH_SIZE = 256
"""Examples of one forward pass, unless choose(batch_size=) says otherwise."""


def choose(
    writer: Recorder,
    dataset: Any,
    n: int = 64,
    *,
    name: str = "chosen",
    seed: int = 0,
    by: By = "random",
    target: Target = None,
    collate: Callable[[list[Any]], Any] | None = None,
    forward: Forward | None = None,
    every: Every = None,
    keep: Keep = None,
    precision: Literal["float32", "bf16"] = "float32",
    show: Callable[[Any], Any] | None = None,
    mean: Any = None,
    std: Any = None,
    sampling_rate: float | None = None,
    batch_size: int = BATCH_SIZE,
    step_now: Callable[[], int | None] | None = None,
    outbox: Outbox | None = None,
) -> ChosenSet:
    """Choose `n` examples of `dataset` and store what they are; all of them when n is its length.

    `dataset`: map-style (torch, Hugging Face, anything with a length and `[i]`), a DataLoader (its
    dataset is read), tensors, arrays, lists, a tuple or mapping of columns, or an iterable, of
    which the first n are taken. Sets of one run differ in `name`.

    `by`: "random"; "stratified", each class of the target by its share and at least once where n
    allows, or ten bins of equal counts where targets are real numbers; "spread", examples far apart
    from one another, among 2,000 drawn ones (greedy k-center, Gonzalez 1985); "first"; or indices.
    Where the data must be read for that and ten seconds do not suffice, "random" is used, and said.

    `target`: the key, the position, or a function of an example that gives its target.
    `forward(model, batch)` and `collate(examples)` stand in where `model(x)` and torch's own
    stacking do not fit.

    `every`: `observe` returns at once unless due: every n steps, "log" (ten times a decade), at the
    given steps, or "epoch" (when `observe(epoch=)` has changed).

    `keep`: what of the output is recorded; None all of it (up to 64 MiB an observation). "topK" is
    the K highest of the classes: columns `top_values`, `top_indices` (…, K) and `logsumexp`.
    "argmax": `prediction`. "stats": `output_mean`, `_std`, `_min`, `_max`, `_nonfinite`. A function
    of the output returns (examples, …), or a mapping of such by column. `precision="bf16"` rounds
    what is recorded of outputs to bfloat16: still float32 on disk, in a third of the bytes.

    Inputs are stored for display: pictures and, where they come with their sampling rate or
    `sampling_rate` is given, waveforms as PNG, texts, numbers; of anything else nothing, unless
    `show(example)` returns one of these. `mean`, `std` undo a normalisation in the pictures.

    The global random generators are as before. Raises `MisuseError` for data that cannot be read.
    """
    component(name, "chosen set")
    n, seed = _whole("n", n), _whole("seed", seed, least=None)
    schedule, how = Schedule(every), keeping(keep, precision)
    batch_size = _whole("batch_size", batch_size)
    source = source_of(dataset)
    picked = pick(source, by, n, seed, target=target, show=show)
    examples = read_examples(source, picked.indices, n, seed)
    fields, columns = examples_record(
        examples, target=target, show=show, mean=mean, std=std, sampling_rate=sampling_rate
    )
    outbox = outbox or Outbox(writer)
    holds = fields["digest"], examples.indices
    if outbox.sets.setdefault(name, holds) != holds:
        raise MisuseError(
            f"this run has a chosen set {name!r} of other examples already; give each set a name "
            'of its own: run.choose(…, name="train")'
        )
    if picked.notice is not None:
        line = f"chosen set {name!r}: {picked.notice}"
        writer.event("choose-slow", line, None, set=name)
        writer.fault("choose-slow", line)
    header = {"table": "examples", "set": name, "seed": seed, "by": picked.by, **fields}
    writer.array(header, [part for c in columns for part in c.parts()], None)
    return ChosenSet(
        writer,
        outbox,
        name,
        examples,
        Handling(target, collate or source.collate, forward, how, batch_size),
        schedule=schedule,
        digest=fields["digest"],
        seed=seed,
        step_now=step_now,
    )


def _whole(what: str, value: Any, least: int | None = 1) -> int:
    try:
        whole = operator.index(value)
    except TypeError as error:
        raise MisuseError(f"choose({what}=) must be a whole number, got {value!r}") from error
    if least is not None and whole < least:
        raise MisuseError(f"choose({what}=) must be at least {least}, got {whole}")
    return whole
