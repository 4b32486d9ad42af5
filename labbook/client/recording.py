"""What of a run writes: the calls of the loop, what is due beside it, and the end.

Invariant: no fault of storage, GPU or system raises out of here into the training. Wrong use raises
at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from labbook.client import values
from labbook.client.devices import DeviceValues
from labbook.client.endings import Ending, Endings, describe
from labbook.client.identity import random_word
from labbook.client.sealing import Sealer
from labbook.client.steps import Steps
from labbook.client.trial import TRIALS
from labbook.client.writing import touch_folder, write_json
from labbook.errors import MisuseError
from labbook.journal.format import PENDING
from labbook.journal.lock import WriterLock
from labbook.journal.writer import JournalWriter, RowSchema
from labbook.paths import FORMAT, RunPaths

if TYPE_CHECKING:
    from labbook.client.descriptors import DescriptorOutput
    from labbook.client.gauges import Gauges
    from labbook.client.output import Output

__all__ = ["FINISH_S", "Recording", "SeriesHandle"]

FINISH_S: Final = 2.0
"""`finish()` and the interpreter's exit wait at most so long for labbook."""

_exact_float: Final = float.conjugate
"""A float as it is, a subclass (numpy.float64) as a float, `TypeError` for anything else: in C."""

_MANY_SIGNATURES: Final = 20_000


class Recording:
    """Records rows, events and facts of one process of a run; `Run` is what users hold."""

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
        self._ticking: list[Callable[[], None]] = []
        """What else is due every second, on a thread of labbook's."""
        self._closing: list[Callable[[float], None]] = []
        """What else to end at `finish()`; each is given the seconds that are left."""
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

    # ------------------------------------------------------------------ end

    @property
    def faults(self) -> dict[str, int]:
        """How often what went wrong on labbook's side; empty when nothing did."""
        return dict(self._journal.faults)

    def finish(self) -> None:
        """End the run. Optional, idempotent, and over within two seconds whatever happens."""
        self._finish(describe(None), exiting=False)

    def __enter__(self) -> Self:
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
        """What is due every second, on a thread of labbook's."""
        self._journal.check()
        self._devices.drain()
        for tick in tuple(self._ticking):
            self._guarded(tick)
        self._sealer.tick()

    def _guarded(self, call: Callable[..., None], *given: float) -> None:
        try:
            call(*given)
        except Exception as error:  # an outer border: the others go on, and so does the training
            name = getattr(call, "__qualname__", "callback")
            self._journal.fault("beside", f"{name}: {type(error).__name__}: {error}")

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
        for close in self._closing:
            # no one takes the others' time, and each has some
            left = min(FINISH_S / 2, max(FINISH_S / 8, deadline - time.monotonic()))
            self._guarded(close, left)
        self._devices.drain(0.5)
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

    __slots__ = ("_acquire", "_append", "_name", "_release", "_run", "_schema", "_steps")

    def __init__(self, run: Recording, schema: RowSchema) -> None:
        self._name = schema.names[0]
        self._schema = schema
        self._steps = run._steps
        self._acquire, self._release = run._acquire, run._release
        self._append = run._append
        self._run = run

    def __call__(self, value: Any, step: int | None = None) -> None:
        """Record one value; see `Run.log`."""
        if type(value) is not float or (step is not None and type(step) is not int) or TRIALS:
            self._run.log({self._name: value}, step=step)
            return
        schema, steps = self._schema, self._steps
        self._acquire()
        try:
            at = steps.implicit(schema) if step is None else steps.explicit(schema, step)
            self._append(schema, at, (value,))
        finally:
            self._release()
