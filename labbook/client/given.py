"""The data as it is given to the model: the first batches that `model(x)` gets.

Invariants: training goes on bit for bit as if nobody looked. The hook copies and returns; what it
costs is bounded in bytes, it never waits for a device and never raises, and it is taken off after
its batches. Everything else happens on a thread of its own, and is written as
`given/<writer>-<name>.json` as it grows, so that a run that is killed has a card.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from labbook.client.dataset import is_array, is_tensor
from labbook.client.given_call import (
    is_recorded_elsewhere,
    said,
    surroundings,
    target_of,
)
from labbook.client.given_card import Section
from labbook.client.given_leaves import Copy, leaves, parameter_names, taken
from labbook.client.given_worker import Batch, Describer, Mode
from labbook.client.hook import Hook
from labbook.client.observe import is_observing, unwrapped
from labbook.client.writing import touch_folder, write_json
from labbook.errors import MisuseError
from labbook.paths import FORMAT, component

if TYPE_CHECKING:
    from labbook.client.run import Run

__all__ = ["BATCHES", "BATCH_BYTES", "EXAMPLES", "MOST_FORWARDS", "Inspection", "attach"]

BATCHES: Final = 8
EXAMPLES: Final = 10_000
"""Batches are counted until there were so many of both."""

BATCH_BYTES: Final = 8 << 20
"""Of one batch at most so much is copied: a few milliseconds."""

TOTAL_BYTES: Final = 64 << 20
MOST_BATCHES: Final = 1000
"""Then it is enough, whatever the number of examples: generating token by token makes many."""

WAITING_BYTES: Final = 32 << 20
"""While so much waits to be described, batches are passed over, and that is counted."""

MOST_FORWARDS: Final = 10_000
"""After so many forward passes the hook is taken off, even if evaluation was never seen."""


def attach(
    run: Run,
    model: Any,
    loss: Any = None,
    *,
    name: str = "model",
    batches: int = BATCHES,
    examples: int = EXAMPLES,
) -> Inspection:
    """Record what `model` is given in its first forward passes, in training and in eval mode apart.

    Pass the object that you call: after `torch.compile` and DistributedDataParallel. Counted are
    the first batches until there were `batches` of them and `examples` examples (the first axis of
    the first input), or 64 MiB, or 1,000 batches; of a batch at most 8 MiB. Forward passes of
    `chosen.observe` are not counted, nor those in training mode without gradients.

    `loss`: the loss module whose second argument is the target. Without it, targets are the second
    part of a pair (or the labels of a mapping) that `run.loader(…)` yields, else they are not
    known. Several models of a run are told apart by `name`.

    Raises `MisuseError` when `model` is no module, or `loss` is given and is none.
    """
    import torch

    component(name, "model")
    if not isinstance(model, torch.nn.Module):
        raise MisuseError(
            f"run.inspect() wants a torch.nn.Module, the one that you call, got "
            f"{type(model).__name__}"
        )
    if loss is not None and not isinstance(loss, torch.nn.Module):
        raise MisuseError(
            "run.inspect(loss=) wants a loss module such as nn.CrossEntropyLoss(), whose calls can "
            f"be seen, got {getattr(loss, '__name__', type(loss).__name__)}; targets are also "
            "taken from `for batch in run.loader(loader)`"
        )
    if batches < 1 or examples < 0:
        raise MisuseError(f"run.inspect() wants batches of at least 1, got {batches}")
    made = Inspection(run, model, loss, name=name, batches=batches, examples=examples)
    made.begin()
    return made


class Inspection:
    """Looks at the first batches. Made by `run.inspect()`; `close()` ends it early."""

    def __init__(
        self, run: Run, model: Any, loss: Any, *, name: str, batches: int, examples: int
    ) -> None:
        self.sections: dict[Mode, Section] = {"train": Section(), "eval": Section()}
        self._run = run
        self.name = name
        self._wanted = (batches, examples)
        # weak: nobody's net lives longer for being looked at
        self._model: Any = weakref.ref(model)
        self._inner: Any = weakref.ref(unwrapped(model))
        """Whose training flag counts: `model.module.eval()` does not set the wrapper's."""
        self._loss: Any = loss
        self._type = type(unwrapped(model)).__name__
        self._names = parameter_names(unwrapped(model))
        self._pid = os.getpid()
        self._forwards = {"train": 0, "train_without_grad": 0, "eval": 0, "eval_with_grad": 0}
        self._first: Mode | None = None
        self._while_training: dict[str, Any] | None = None
        self._undo: list[Callable[[], None]] = []
        self._batch: Any = None
        """What the loop has just been given."""
        self._describer = Describer(self._describe, self._write, self._fault)
        self._is_closed = False

    # ------------------------------------------------------------------ in the training

    def begin(self) -> None:
        """Put the hooks on."""
        compiled = getattr(self._model(), "_compiled_call_impl", None)
        if compiled is not None:  # model.compile(): a hook would be compiled into the graph
            self._wrap_compiled(compiled)
        else:
            self._hook(self._model(), self._see_forward)
        if self._loss is not None:
            self._hook(self._loss, self._see_loss)
        else:
            loaders = self._run._measured()
            loaders.show_batches(self._see_batch)
            self._undo.append(lambda: loaders.stop_showing(self._see_batch))
        self._run._closing.append(self.close)

    def _hook(self, module: Any, see: Callable[[Any, Any], None]) -> None:
        hook = Hook(lambda _, args, kwargs: see(args, kwargs), self._failed)
        try:
            handle = module.register_forward_pre_hook(hook, with_kwargs=True)
        except (RuntimeError, TypeError, AttributeError) as error:  # a ScriptModule may refuse
            kind = type(module).__name__
            self._fault(f"run.inspect(): no hook fits a {kind}: {error}")
            return
        self._undo.append(handle.remove)

    def _wrap_compiled(self, compiled: Any) -> None:
        model, reference = self._model(), self._model

        def call(*args: Any, **kwargs: Any) -> Any:
            self._see_forward(args, kwargs)
            return compiled(*args, **kwargs)

        def undo() -> None:
            model = reference()
            if getattr(model, "_compiled_call_impl", None) is call:
                model._compiled_call_impl = compiled

        model._compiled_call_impl = call
        self._undo.append(undo)

    def _see_batch(self, batch: Any) -> None:
        """A batch of `run.loader`: what its target is, is asked when the model is called."""
        self._batch = batch

    def _see_forward(self, args: Any, kwargs: Any) -> None:
        try:
            if not is_observing() and not is_recorded_elsewhere():
                self._forward(args, kwargs)
        except Exception as error:  # the border to the training: it goes on, whatever this is
            self._failed(error)

    def _forward(self, args: Any, kwargs: Any) -> None:
        import torch

        if os.getpid() != self._pid:
            return
        batch, self._batch = self._batch, None
        self._describer.pass_on()
        if self._is_over():  # not in the last pass that counts: its loss is still to be seen
            if self._describer.has_arrived:
                self._take_off()
                self._describer.end()
            return
        mode: Mode = "train" if self._inner().training else "eval"
        has_grad = torch.is_grad_enabled()
        self._forwards[mode] += 1
        if mode == "eval" and has_grad:
            self._forwards["eval_with_grad"] += 1
        if mode == "train" and not has_grad:  # no training step, and no evaluation as it should be
            self._forwards["train_without_grad"] += 1
            return
        self._first = self._first or mode
        if mode == "train" and self._while_training is None:
            self._while_training = surroundings(self._inner(), args)
        section = self.sections[mode]
        if not self._is_enough(section):
            self._take(mode, section, args, kwargs, batch)

    def _take(self, mode: Mode, section: Section, args: Any, kwargs: Any, batch: Any) -> None:
        if self._describer.waiting > WAITING_BYTES:
            section.n_skipped += 1
            return
        found = list(leaves(args, kwargs, self._names))
        arrays = [(name, value) for name, value in found if is_tensor(value) or is_array(value)]
        section.others.update(
            (name, said(value))
            for name, value in found
            if not (is_tensor(value) or is_array(value))
        )
        share = BATCH_BYTES // max(len(arrays), 1)
        inputs = [taken(name, value, share) for name, value in arrays]
        targets, target = [], target_of(batch)
        # (image, other image): what the model is given itself is no target of it
        is_input = isinstance(batch, (tuple, list)) and any(v is target for _, v in arrays)
        if target is not None and not is_input and section.targets_from in (None, "run.loader"):
            section.targets_from = "run.loader"
            targets = _taken_targets(target)
        first = next((copy for copy in inputs if copy.shape), None)
        section.n_batches += 1
        section.n_examples += first.shape[0] if first else 0
        self._submit(Batch(mode, inputs, targets))

    def _see_loss(self, args: Any, kwargs: Any) -> None:
        try:
            target = args[1] if len(args) > 1 else kwargs.get("target")
            if is_observing() or target is None or is_recorded_elsewhere():
                return
            mode: Mode = "train" if self._inner().training else "eval"
            section = self.sections[mode]
            if os.getpid() == self._pid and section.n_targets < section.n_batches:
                section.n_targets += 1
                section.targets_from = "the loss"
                self._submit(Batch(mode, [], _taken_targets(target)))
        except Exception as error:  # the border to the training
            self._failed(error)

    def _submit(self, batch: Batch) -> None:
        self.sections[batch.mode].n_bytes += batch.n_bytes
        self._describer.submit(batch)

    def _is_enough(self, section: Section) -> bool:
        batches, examples = self._wanted
        enough = section.n_batches >= batches and section.n_examples >= examples
        return enough or section.n_bytes >= TOTAL_BYTES or section.n_batches >= MOST_BATCHES

    def _is_over(self) -> bool:
        return (
            all(map(self._is_enough, self.sections.values()))
            or self._forwards["train"] + self._forwards["eval"] >= MOST_FORWARDS
        )

    def _failed(self, error: BaseException) -> None:
        self._fault(f"run.inspect() ends: {type(error).__name__}: {error}")
        self._take_off()

    def _fault(self, line: str) -> None:
        self._run._journal.fault("inspect", line)

    def _take_off(self) -> None:
        """Take the hooks off, and let go of the model."""
        while self._undo:
            self._undo.pop()()
        self._loss = self._batch = None

    def close(self, timeout_s: float = 1.0) -> None:
        """End the inspection and write the card, within `timeout_s`; idempotent."""
        if not self._is_closed and os.getpid() == self._pid:
            self._is_closed = True
            self._take_off()
            self._describer.finish(timeout_s)

    # ------------------------------------------------------------------ beside it

    def _describe(self, batch: Batch) -> None:
        self.sections[batch.mode].add(batch.inputs, batch.targets)

    def _write(self) -> None:
        run = self._run
        path = run.paths.given(run.writer, self.name)
        try:
            path.parent.mkdir(exist_ok=True)
            write_json(path, self._as_json())
        except OSError as error:
            self._fault(f"cannot write {path}: {error.strerror}")
        touch_folder(run.paths.root)

    def _as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "writer": self._run.writer,
            "name": self.name,
            "model": self._type,
            "time_ns": time.time_ns(),
            "wanted": {"batches": self._wanted[0], "examples": self._wanted[1]},
            "first_mode": self._first,
            "forwards": dict(self._forwards),
            "while_training": self._while_training,
            **{mode: s.as_json() if s.inputs else None for mode, s in self.sections.items()},
        }


def _taken_targets(target: Any) -> list[Copy]:
    found = leaves((target,), {}, ["target"])
    return [taken(n, v, BATCH_BYTES // 4) for n, v in found if is_tensor(v) or is_array(v)]
