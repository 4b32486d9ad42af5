"""A run, as the training script holds it.

Invariant: once it exists, no fault of storage, GPU or system raises out of its methods into the
training, except out of `save`, which holds the user's data. Wrong use raises at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

from labbook.client import values
from labbook.client.devices import DeviceValues
from labbook.client.endings import Ending, Endings, describe
from labbook.client.identity import random_word
from labbook.client.sealing import Sealer
from labbook.client.steps import Steps
from labbook.client.writing import touch_folder, write_json
from labbook.errors import MisuseError
from labbook.journal.format import PENDING
from labbook.journal.lock import WriterLock
from labbook.journal.writer import JournalWriter, RowSchema
from labbook.paths import FORMAT, RunPaths

if TYPE_CHECKING:
    import logging

    from labbook.client.advice import Advice, Adviser
    from labbook.client.chosen_set import ChosenSet
    from labbook.client.descriptors import DescriptorOutput
    from labbook.client.external import Registrar
    from labbook.client.follower import Follower
    from labbook.client.gauges import Gauges
    from labbook.client.given import Inspection
    from labbook.client.outbox import Outbox
    from labbook.client.output import Output
    from labbook.client.parts import Target
    from labbook.client.picking import By
    from labbook.client.throughput import Loader, Loaders

__all__ = ["FINISH_S", "Run", "SeriesHandle"]

FINISH_S: Final = 2.0
"""`finish()` and the interpreter's exit wait at most so long for labbook."""

_exact_float: Final = float.conjugate
"""A float as it is, a subclass (numpy.float64) as a float, `TypeError` for anything else: in C."""

_MANY_SIGNATURES: Final = 20_000


class Run:
    """The run being recorded. Made by `labbook.start()`.

    Usable as a context manager: leaving it finishes the run, as failed when an exception is on its
    way. Methods may be called from any thread of the process that made it.
    """

    def __init__(
        self,
        paths: RunPaths,
        *,
        attempt: int,
        writer: str,
        name: str,
        args: Any,
        journal: JournalWriter,
        lock: WriterLock,
        first_step: int = 0,
    ) -> None:
        self.id = paths.id
        self.name = name
        self.paths = paths
        self.attempt = attempt
        self.writer = writer
        self.args = args
        """The arguments object that was found or given; None when there is none."""
        self.finished = False
        self._journal = journal
        self._lock = lock
        # not `with lock`: on this path that costs as much again as the lock itself
        self._acquire, self._release = journal.lock.acquire, journal.lock.release
        self._append = journal.append
        self._busy = False
        self._schemas: dict[tuple[str, ...], RowSchema] = {}
        self._steps = Steps(first_step)
        self._devices = DeviceValues(journal)
        self._sealer = Sealer(journal)
        self._outbox: Outbox | None = None
        self._registrar: Registrar | None = None
        self._loaders: Loaders | None = None
        self._inspections: dict[str, Inspection] = {}
        self._closing: list[Callable[[float], None]] = []
        """What else to end at `finish()`; each is given the seconds that are left."""
        self._followers: dict[str, Follower] = {}
        self._adviser: Adviser | None = None
        self._gauges: Gauges | None = None
        self._output: Output | DescriptorOutput | None = None
        self._endings: Endings | None = None

    # ------------------------------------------------------------------ recording

    def log(
        self,
        metrics: Mapping[str, Any] | None = None,
        /,
        *,
        step: int | None = None,
        **more: Any,
    ) -> None:
        """Record numbers at a step.

        `metrics` is a mapping with any names, keywords do for simple ones, both may be given.
        Values: Python numbers, numpy and jax scalars, 0-d tensors; None is null. A tensor on a GPU
        is copied without waiting for it. Without `step`, a name logged again begins the next step;
        after an explicit step the implicit ones continue from it.

        Raises `TypeError` for what is not a number and for a step that is not whole, and
        `MisuseError` for an integer beyond 2^53 that a double cannot hold. After a record is
        written it survives SIGKILL.
        """
        if metrics is not None:
            more = {**metrics, **more} if more else metrics  # type: ignore[assignment]
        names = tuple(more)
        schema = self._schemas.get(names)
        if schema is None:
            schema = self._schema(names)
        if schema.is_mixed or (step is not None and type(step) is not int):
            self._log_converted(schema, more.values(), step)
            return
        try:
            cells = tuple(map(_exact_float, more.values()))
        except TypeError:
            self._log_converted(schema, more.values(), step)
            return
        steps = self._steps
        self._acquire()
        try:
            if step is None:
                step = steps.implicit(schema)
                self._busy = self._busy or steps.looping is not None
            elif step == steps.current or steps.rest:
                steps.explicit(schema, step)
            else:  # the common case of Steps.explicit, without the call
                steps.current, steps.first = step, schema
            self._append(schema, step, cells)
        finally:
            self._release()
        if self._busy:
            self._after_log()

    def series(self, name: str) -> SeriesHandle:
        """Return a handle that logs one metric, for the tightest loops."""
        values.check_name(name)
        return SeriesHandle(self, self._schema((name,)))

    def event(
        self, text: str, *, kind: str = "note", step: int | None = None, **fields: Any
    ) -> None:
        """Record a line of text, for example an alert; `fields` are stored as JSON."""
        if not isinstance(text, str):
            raise TypeError(f"an event's text must be text, got {type(text).__name__}")
        at = None if step is None else values.check_step(step)
        self._journal.event(kind, text, at, **fields)

    def axis(self, name: str) -> None:
        """Name the series to plot the others against, for example `run.axis("epoch")`."""
        values.check_name(name)
        self._fact("axis", {"name": name})

    def choose(
        self,
        dataset: Any,
        n: int = 64,
        *,
        name: str = "chosen",
        seed: int = 0,
        by: By = "random",
        target: Target = None,
        **options: Any,
    ) -> ChosenSet:
        """Choose the examples to follow across iterations, the same in every run on this data.

        `by`: "random", "stratified" (by target), "spread" (far apart), "first" or indices. Further
        options: collate, forward, every, keep, precision, show, mean, std, sampling_rate and
        batch_size; see `labbook.client.chosen.choose`. Raises `MisuseError`.
        """
        from labbook.client.chosen import choose
        from labbook.client.outbox import Outbox

        if self._outbox is None:
            self._outbox = Outbox(self._journal)
        options |= {"name": name, "seed": seed, "by": by, "target": target}
        options.setdefault("step_now", lambda: self._steps.current)
        return choose(self._journal, dataset, n, outbox=self._outbox, **options)

    def follow(self, model: Any, optimizer: Any = None, **options: Any) -> None:
        """Follow a net: weights, gradients, updates, activations, and what it is given at first.

        See `labbook.client.follow`, and `inspect`.
        """
        from labbook.client.follow import follow

        records = self.writer.startswith("r0-") and not (self.finished or self._journal.detached)
        follow(
            self._journal,
            model,
            optimizer,
            **options,
            followers=self._followers,
            records=records,
            fact=lambda value: self._fact("model", value),
            step_now=lambda: self._steps.current if self._steps.first is not None else None,
        )
        name = options.get("name") or "model"
        if records and name not in self._inspections:
            self.inspect(model, name=name)

    def data(self, name: str, source: Any, *, seconds: float = 2.0) -> None:
        """Record a fingerprint of the data trained on: `run.data("train", dataset)`, or a path.

        Takes about `seconds` at most and disturbs nothing; see `labbook.client.data.fingerprint`.
        Raises `MisuseError` for what is no data; what cannot be read is recorded as a reason.
        """
        from labbook.client.data import fingerprint

        found = fingerprint(name, source, seconds)
        if not (self.finished or self._journal.detached):
            self._fact("data", {"name": name, "data": found})

    def inspect(self, model: Any, loss: Any = None, **how: Any) -> Inspection:
        """Record the first batches as they are given to `model`: `labbook data` shows them.

        See `labbook.client.given.attach`.
        """
        from labbook.client.given import attach

        made = attach(self, model, loss, **how)
        earlier = self._inspections.get(made.name)
        if earlier is not None:
            earlier.close()
        self._inspections[made.name] = made
        return made

    def loader(self, loader: Any, *, name: str = "train") -> Loader:
        """Measure a loop: `for batch in run.loader(loader)`; it gets what `loader` yields.

        Steps and examples a second and the share of time spent waiting become gauges under `name`.
        See `labbook.client.throughput`.
        """
        return self._measured().wrap(loader, name)

    def logging_handler(self, level: int | str = 0) -> logging.Handler:
        """Return a handler for the standard logging module: records become events of the run.

        `logging.getLogger().addHandler(run.logging_handler(level="INFO"))`.
        """
        from labbook.client.logging_handler import make

        return make(self, level)

    def save(self, obj: Any, *, step: int | None = None, name: str | None = None) -> Path:
        """Save a checkpoint into the run, atomically, and register it for evaluation.

        `obj` is what `torch.save` takes, usually `model.state_dict()`. Without `step`, the last
        logged one. Returns the file's path. Raises whatever `torch.save` would: it holds your data.
        """
        from labbook.client.checkpoints import save

        at = self._steps.current if step is None else values.check_step(step)
        path = save(self.paths, self._journal, obj, step=at, name=name)
        touch_folder(self.paths.root)
        return path

    def watch(self, pattern: str | os.PathLike[str]) -> None:
        """Register checkpoints that other code writes, by a glob such as `"ckpts/*.pt"`."""
        from labbook.client.external import Registrar

        if self._registrar is None:
            self._registrar = Registrar(self.paths, self._journal)
        self._registrar.watch(os.fspath(pattern))

    def advice(
        self,
        metric: str,
        *,
        evaluation: str | None = None,
        mode: str = "auto",
        patience: int = 5,
        min_delta: float = 0.0,
        subset: str | None = None,
    ) -> Advice:
        """Whether to stop, by the results that a watcher has made of this run so far.

        `if run.advice("accuracy", patience=5): break`. True once `patience` checkpoints in a row,
        by step, were not better than the best by more than `min_delta`. `mode` "auto" goes by the
        metric's name. `subset` None: the mini set where there is one. Takes microseconds and reads
        nothing: new results are looked for once a second on another thread. With several ranks ask
        on one, and broadcast the answer. Raises `MisuseError` for what cannot be asked.
        """
        if self._adviser is None:
            from labbook.client.advice import Adviser

            self._adviser = Adviser(self.paths, self._journal)
        return self._adviser.ask(metric, evaluation, mode, patience, min_delta, subset)

    # ------------------------------------------------------------------ facts and end

    @property
    def faults(self) -> dict[str, int]:
        """How often what went wrong on labbook's side; empty when nothing did."""
        return dict(self._journal.faults)

    def finish(self) -> None:
        """End the run. Optional, idempotent, and over within two seconds whatever happens."""
        self._finish(describe(None), exiting=False)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        self._finish(describe(error), exiting=False)
        return False

    def __repr__(self) -> str:
        return f"<labbook run {self.id} ({self.name})>"

    # ------------------------------------------------------------------ inside

    def attach(
        self, gauges: Gauges, output: Output | DescriptorOutput | None, endings: Endings
    ) -> None:
        """Start what runs beside the training; for `start()`."""
        self._gauges, self._output, self._endings = gauges, output, endings
        gauges.add(self._tick)
        if output is not None:
            gauges.add(output.check)
        gauges.start()

    def _log_converted(self, schema: RowSchema, given: Iterable[Any], step: int | None) -> None:
        if step is not None:
            step = values.check_step(step)
        cells: list[float] = []
        on_device: list[tuple[int, Any]] = []
        for index, (name, value) in enumerate(zip(schema.names, given, strict=True)):
            try:
                cells.append(values.to_double(name, value, step))
            except values.DeviceValue:
                on_device.append((index, value))
                cells.append(PENDING)
        copies = self._devices.copy(on_device) if on_device else []
        schema.is_mixed = True
        steps = self._steps
        with self._journal.lock:
            at = steps.implicit(schema) if step is None else steps.explicit(schema, step)
            seq = self._append(schema, at, tuple(cells))
            if copies:
                self._devices.wait_for(seq, copies)
            self._busy = self._busy or bool(copies) or steps.looping is not None
        if self._busy:
            self._after_log()

    def _measured(self) -> Loaders:
        from labbook.client.throughput import Loaders

        if self._loaders is None:
            self._loaders = Loaders(self._journal, self.paths, self.writer)
            self._closing.append(self._loaders.close)
        return self._loaders

    def _schema(self, names: tuple[str, ...]) -> RowSchema:
        for name in names:
            values.check_name(name)
        if not names:
            raise MisuseError("log() needs at least one metric: run.log(loss=0.1, step=3)")
        if len(self._schemas) > _MANY_SIGNATURES:
            self._schemas.clear()
        schema = RowSchema("series", names)
        self._schemas[names] = schema
        return schema

    def _after_log(self) -> None:
        """What is rarely due after a call: values from the device, a word about the step."""
        names, self._steps.looping = self._steps.looping, None
        if names is not None:
            self._journal.fault(
                "implicit-step",
                f"{names} advanced the step many times in a row, as in a validation loop: "
                "pass step= to keep one step a training step",
            )
        self._devices.drain()
        self._busy = bool(self._devices)

    def _tick(self) -> None:
        """What is due every second, on the gauges' thread."""
        self._journal.check()
        self._devices.drain()
        if self._registrar is not None:
            self._registrar.scan()
        if self._loaders is not None:
            self._loaders.tick()
        for follower in tuple(self._followers.values()):
            follower.drain()
        if self._adviser is not None:
            self._adviser.tick()
        self._sealer.tick()

    def _checkpoint_folders(self) -> list[str]:
        """Return where other code writes checkpoints of this run; for the gauges."""
        return [] if self._registrar is None else self._registrar.folders()

    def _tell(self, fact: str, value: dict[str, Any]) -> None:
        """Keep a fact of this process that was found out beside the training; for the gauges."""
        if not self.finished:
            self._fact(fact, {**value, "writer": self.writer})

    def _fact(self, fact: str, value: dict[str, Any]) -> None:
        """Write one fact known later; a storage fault is counted."""
        body = {"fact": fact, "time_ns": time.time_ns(), **value}
        try:
            write_json(self.paths.meta / f"{fact}-{self.writer}-{random_word()}.json", body)
        except OSError as error:
            self._journal.fault("meta", f"cannot write to {self.paths.meta}: {error.strerror}")
        touch_folder(self.paths.root)

    def _finish(self, ending: Ending, *, exiting: bool) -> None:
        if self.finished or self._journal.detached:
            return
        self.finished = True
        deadline = time.monotonic() + FINISH_S
        if self._endings is not None:
            self._endings.close(exiting=exiting)
        if self._output is not None:
            self._output.close()
        if self._gauges is not None:
            self._gauges.stop()
        if self._registrar is not None:
            self._registrar.scan(final=True)
        for close in self._closing:
            close(max(0.0, deadline - time.monotonic()))
        for follower in self._followers.values():
            follower.close()
        self._devices.drain(0.5)
        if self._outbox is not None:
            self._outbox.close(max(FINISH_S / 4, deadline - time.monotonic() - FINISH_S / 4))
        self._journal.close()
        self._write_end(ending)
        self._sealer.finish(deadline - time.monotonic())
        self._lock.release()
        touch_folder(self.paths.root)

    def _write_end(self, ending: Ending) -> None:
        body = {
            "format": FORMAT,
            **ending,
            "ended_ns": time.time_ns(),
            "faults": dict(self._journal.faults),
        }
        try:
            write_json(self.paths.end(self.attempt, self.writer), body)
        except OSError as error:
            self._journal.fault("end", f"cannot write how the run ended: {error.strerror}")


class SeriesHandle:
    """Logs one metric: `handle(value)` or `handle(value, step)`."""

    __slots__ = ("_acquire", "_append", "_log", "_name", "_release", "_schema", "_steps")

    def __init__(self, run: Run, schema: RowSchema) -> None:
        self._name = schema.names[0]
        self._schema = schema
        self._steps = run._steps
        self._acquire, self._release = run._acquire, run._release
        self._append = run._append
        self._log = run.log

    def __call__(self, value: Any, step: int | None = None) -> None:
        """Record one value; see `Run.log`."""
        if type(value) is not float or (step is not None and type(step) is not int):
            self._log({self._name: value}, step=step)
            return
        schema, steps = self._schema, self._steps
        self._acquire()
        try:
            at = steps.implicit(schema) if step is None else steps.explicit(schema, step)
            self._append(schema, at, (value,))
        finally:
            self._release()
