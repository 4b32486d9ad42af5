"""The chosen set: fixed examples that are followed from the first step to the last.

Invariant: which examples they are depends on the data and the seed alone, so that every run on this
data follows the same ones; what they are is stored once, with a digest that can be compared.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from labbook.client.columns import Column, column, header_of, rounded
from labbook.client.dataset import Examples, read_examples, source_of
from labbook.client.examples import examples_record
from labbook.client.keeping import Keep, Keeping, keeping
from labbook.client.parts import Target
from labbook.client.picking import By, pick
from labbook.client.recorder import Recorder
from labbook.errors import MisuseError
from labbook.paths import component

if TYPE_CHECKING:
    from labbook.client.batches import Batch
    from labbook.client.observe import Forward

__all__ = ["BATCH_SIZE", "ChosenSet", "choose"]

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
    every: int | None = None,
    keep: Keep = None,
    precision: Literal["float32", "bf16"] = "float32",
    show: Callable[[Any], Any] | None = None,
    mean: Any = None,
    std: Any = None,
    sampling_rate: float | None = None,
    batch_size: int = BATCH_SIZE,
    step_now: Callable[[], int | None] | None = None,
) -> ChosenSet:
    """Choose `n` examples of `dataset` and store what they are.

    `dataset`: map-style, a DataLoader (its dataset is read), tensors, arrays, lists, a tuple or
    mapping of columns, or an iterable, of which the first n are taken. `by`: "random", "first", or
    indices. `target`: the key, the position, or a function of an example that gives its target.
    `forward(model, batch)` and `collate(examples)` stand in where `model(x)` and torch's own
    stacking do not fit. `every`: `observe` does nothing until so many steps have passed.
    `show(example)`: what to store as the view of an example. `mean`, `std` undo a normalisation
    in the stored pictures.

    The global random generators are as before. Raises `MisuseError` for data that cannot be read.
    """
    component(name, "chosen set")
    n, seed = _whole("n", n), _whole("seed", seed, least=None)
    if every is not None:
        every = _whole("every", every)
    how = keeping(keep, precision)
    source = source_of(dataset)
    picked = pick(source, by, n, seed, target=target, show=show)
    examples = read_examples(source, picked.indices, n, seed)
    fields, columns = examples_record(
        examples, target=target, show=show, mean=mean, std=std, sampling_rate=sampling_rate
    )
    if picked.notice is not None:
        line = f"chosen set {name!r}: {picked.notice}"
        writer.event("choose-slow", line, None, set=name)
        writer.fault("choose-slow", line)
    header = {"table": "examples", "set": name, "seed": seed, "by": picked.by, **fields}
    writer.array(header, [part for c in columns for part in c.parts()], None)
    return ChosenSet(
        writer,
        name,
        examples,
        digest=fields["digest"],
        seed=seed,
        target=target,
        collate=collate or source.collate,
        forward=forward,
        every=every,
        how=how,
        batch_size=_whole("batch_size", batch_size),
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


class ChosenSet:
    """Examples under observation. Made by `run.choose()`."""

    def __init__(
        self,
        writer: Recorder,
        name: str,
        examples: Examples,
        *,
        digest: str | None,
        seed: int,
        target: Target,
        collate: Callable[[list[Any]], Any] | None,
        forward: Forward | None,
        every: int | None,
        how: Keeping,
        batch_size: int,
        step_now: Callable[[], int | None] | None,
    ) -> None:
        self.name = name
        self.indices = tuple(examples.indices)
        """Where the examples stand in the data."""
        self.length = examples.length
        """Of the whole data; None when it does not say."""
        self.digest = digest
        """`sha256:…` over the content of the examples; None when some of it has none."""
        self.seed = seed
        self.skipped = 0
        """Observations that were left out for want of memory; each has an event with its reason."""
        self._writer = writer
        self._items = examples.items
        self._batches: list[Batch] | None = None
        self._target = target
        self._collate = collate
        self._forward = forward
        self._every = every
        self._how = how
        self._batch_size = batch_size
        self._step_now = step_now
        self._calls = -1
        self._last = self._next = 0
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"<chosen set {self.name!r}: {len(self)} examples of {self.length or 'a stream'}>"

    def observe(
        self,
        model: Any,
        loss: Callable[..., Any] | None = None,
        step: int | None = None,
        *,
        every_rank: bool = False,
    ) -> bool:
        """Record what `model` does with the examples now; return whether it was due and recorded.

        Runs in eval mode without gradient; training flags, buffers, random generators and settings
        are as before, also after an exception. `loss(output, target)` may return one value an
        example, or their mean; without a loss only outputs are recorded. Without `step`, the run's
        current one.

        Raises what the model and the loss raise, and `MisuseError` when their results do not fit.
        Out of memory leaves this observation out and records an event instead.
        """
        if step is None:
            step = self._own_step()
        # steps that begin anew (a resumed run) are due again
        if self._last <= step < self._next:
            return False
        return self._observe(model, loss, step, every_rank)

    def record(
        self, step: int | None = None, output: Any = None, loss: Any = None, **columns: Any
    ) -> None:
        """Record values that you computed: one entry an example each, in the set's order.

        Tensors, arrays or sequences of numbers whose first axis counts the examples. Raises
        `MisuseError` when it does not.
        """
        given = {"loss": loss, "output": output, **columns}
        n = len(self)
        made = [
            column(key, value, n, "<f4" if key in ("loss", "output") else None)
            for key, value in given.items()
            if value is not None
        ]
        if self._how.is_rounded:
            made = [each if each.name == "loss" else rounded(each) for each in made]
        if not made:
            raise MisuseError("record() needs at least one column: record(step, loss=losses)")
        self._write(made, self._own_step() if step is None else operator.index(step))

    def _own_step(self) -> int:
        self._calls += 1
        now = None if self._step_now is None else self._step_now()
        return self._calls if now is None else now

    def _observe(self, model: Any, loss: Any, step: int, every_rank: bool) -> bool:
        from labbook.client.observe import is_out_of_memory, observe, unwrapped

        step = operator.index(step)
        unwrapped(model)  # before torch is asked to collate: it refuses what is no torch module
        try:
            columns, left_out = observe(
                model,
                loss,
                self._collated(),
                how=self._how,
                forward=self._forward,
                every_rank=every_rank,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._skip(step, error)
            return False
        finally:
            self._schedule(step)
        if left_out is not None:
            self._tell("output-left-out", f"{left_out}; chosen set {self.name!r}", step)
        if columns and not (every_rank and _rank() != 0):
            self._write(columns, step)
        return True

    def _collated(self) -> list[Batch]:
        from labbook.client.batches import collated

        if self._batches is None:
            self._batches = collated(
                self._items, self._collate, self._batch_size, self.seed, self._target
            )
            self._items = []  # the batches hold copies
        return self._batches

    def _schedule(self, step: int) -> None:
        """Set when `observe` is due again: at the next multiple of `every`."""
        self._last = self._next = step
        if self._every is not None:
            self._next = (step // self._every + 1) * self._every

    def _write(self, columns: list[Column], step: int) -> None:
        header = {"table": "chosen", "set": self.name, "columns": header_of(columns)}
        header |= self._how.header
        self._writer.array(header, [part for c in columns for part in c.parts()], step)

    def _skip(self, step: int, error: BaseException) -> None:
        self.skipped += 1
        reason = str(error).partition("\n")[0][:300]
        self._writer.event(
            "observe-skipped",
            f"chosen set {self.name!r} was not observed at step {step}: out of memory",
            step,
            set=self.name,
            reason=reason,
        )
        self._writer.fault(
            "observe-skipped",
            f"chosen set {self.name!r} was not observed at step {step}, out of memory; training "
            "goes on. choose(batch_size=) makes the batches smaller",
        )

    def _tell(self, kind: str, text: str, step: int) -> None:
        """Record an event, once for each kind."""
        if kind not in self._told:
            self._told.add(kind)
            self._writer.event(kind, text, step, set=self.name)


def _rank() -> int:
    import torch

    distributed = torch.distributed
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_rank() if ready else 0
