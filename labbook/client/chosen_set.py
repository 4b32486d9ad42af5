"""The chosen set: fixed examples, and what a model does with them at one step after another."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.client.columns import Column, column, rounded
from labbook.client.dataset import Examples
from labbook.client.keeping import Keeping
from labbook.client.outbox import Outbox
from labbook.client.parts import Target
from labbook.client.recorder import Recorder
from labbook.client.schedule import EARLIEST, Schedule
from labbook.client.trial import is_trial
from labbook.errors import MisuseError

if TYPE_CHECKING:
    from labbook.client.batches import Batch
    from labbook.client.observe import Forward

__all__ = ["ChosenSet", "Handling"]


@dataclass(frozen=True)
class Handling:
    """How the examples get into the model, and what is kept of what comes out."""

    target: Target
    collate: Callable[[list[Any]], Any] | None
    forward: Forward | None
    keeping: Keeping
    batch_size: int


class ChosenSet:
    """Examples under observation. Made by `run.choose()`."""

    def __init__(
        self,
        writer: Recorder,
        outbox: Outbox,
        name: str,
        examples: Examples,
        handling: Handling,
        *,
        schedule: Schedule,
        digest: str | None,
        seed: int,
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
        """Observations that were left out; each has an event with its reason."""
        self._writer = writer
        self._outbox = outbox
        self._items = examples.items
        self._batches: list[Batch] | None = None
        self._handling = handling
        self._schedule = schedule
        self._step_now = step_now
        self._calls = -1
        # observe() does nothing from the one step to the other
        self._last, self._next = EARLIEST, schedule.first
        self._epoch: Any = None
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
        epoch: int | None = None,
        every_rank: bool = False,
    ) -> bool:
        """Record what `model` does with the examples now; return whether it was due and recorded.

        Runs in eval mode without gradient, on the model's device and in the caller's autocast
        region; training flags, buffers, attributes, hooks, random generators and settings are as
        before, also after an exception. Forward hooks of yours do run, for they may be part of the
        model; `labbook.client.observe.is_observing()` tells them. `loss(output, target)` may return
        one value an example, or their mean; without a loss only outputs are recorded. Without
        `step`, the run's current one. A compiled or DistributedDataParallel model is observed
        without its wrapper, on whichever rank calls; of several, readers take the lowest. A sharded
        one must be observed on every rank: `every_rank=True` says that it is.

        Raises what the model and the loss raise, and `MisuseError` when their results do not fit.
        Out of memory, or a disk that does not keep up, leaves this observation out and records an
        event instead. What a SIGKILL may take: see `labbook.client.outbox`.
        """
        if is_trial():
            return False
        if step is None:
            step = self._own_step()
        # steps that begin anew (a resumed run) are due again
        if self._last <= step < self._next:
            return False
        return self._observe(model, loss, step, epoch, every_rank)

    def record(
        self, step: int | None = None, output: Any = None, loss: Any = None, **columns: Any
    ) -> None:
        """Record values that you computed: one entry an example each, in the set's order.

        Tensors, arrays or sequences of numbers whose first axis counts the examples; arrays of
        unequal length become lists. Raises `MisuseError` when it does not.
        """
        if is_trial():
            return
        given = {"loss": loss, "output": output, **columns}
        n = len(self)
        made = [
            column(key, value, n, "<f4" if key in ("loss", "output") else None)
            for key, value in given.items()
            if value is not None
        ]
        if self._handling.keeping.is_rounded:
            made = [each if each.name == "loss" else rounded(each) for each in made]
        if not made:
            raise MisuseError("record() needs at least one column: record(step, loss=losses)")
        self._write(made, self._own_step() if step is None else operator.index(step))

    def _own_step(self) -> int:
        self._calls += 1
        now = None if self._step_now is None else self._step_now()
        return self._calls if now is None else now

    def _observe(self, model: Any, loss: Any, step: int, epoch: Any, every_rank: bool) -> bool:
        from labbook.client.observe import is_out_of_memory, observe, unwrapped

        if self._schedule.by_epoch and not self._is_new(epoch):
            return False
        step = operator.index(step)
        unwrapped(model)  # before torch is asked to collate: it refuses what is no torch module
        handling = self._handling
        try:
            columns, left_out = observe(
                model,
                loss,
                self._collated(),
                how=handling.keeping,
                forward=handling.forward,
                every_rank=every_rank,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._skip(step, str(error).partition("\n")[0][:300], "out of memory", _SMALLER)
            return False
        finally:
            self._last, self._next = step, self._schedule.after(step)
        if left_out is not None:
            self._tell("output-left-out", f"chosen set {self.name!r}: {left_out}", step)
        if not columns or (every_rank and _rank() != 0):
            return bool(columns)
        return self._write(columns, step)

    def _is_new(self, epoch: Any) -> bool:
        """Whether this is another epoch than at the last call."""
        if epoch is None:
            raise MisuseError(
                'choose(every="epoch") needs the epoch: chosen.observe(model, loss, epoch=epoch)'
            )
        is_new = bool(epoch != self._epoch)
        self._epoch = epoch
        return is_new

    def _collated(self) -> list[Batch]:
        from labbook.client.batches import collated

        if self._batches is None:
            how = self._handling
            self._batches = collated(
                self._items, how.collate, how.batch_size, self.seed, how.target
            )
            self._items = []  # the batches hold copies
        return self._batches

    def _write(self, columns: list[Column], step: int) -> bool:
        header = {"table": "chosen", "set": self.name, **self._handling.keeping.header}

        def refused(reason: str) -> None:
            self._skip(step, reason, reason, _LESS)

        return self._outbox.put(header, columns, step, refused)

    def _skip(self, step: int, reason: str, why: str, advice: str) -> None:
        self.skipped += 1
        text = f"chosen set {self.name!r} was not recorded at step {step}: {why}"
        self._writer.event("observe-skipped", text, step, set=self.name, reason=reason)
        self._writer.fault("observe-skipped", f"{text}; training goes on. {advice}")

    def _tell(self, kind: str, text: str, step: int) -> None:
        """Record an event and say so, once for each kind."""
        if kind not in self._told:
            self._told.add(kind)
            self._writer.event(kind, text, step, set=self.name)
            self._writer.fault(kind, text)


_SMALLER = "choose(batch_size=) makes the batches smaller"
_LESS = "choose(every=) or choose(keep=) records less"


def _rank() -> int:
    import torch

    distributed = torch.distributed
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_rank() if ready else 0
