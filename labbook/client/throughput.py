"""`for batch in run.loader(loader)`: how fast the loop goes, and what it waits for.

Invariants: the loop gets what the loader yields, in the same calls and the same order; no random
number is drawn, nothing is read ahead, and what the loader raises passes through. A step costs two
readings of the clock; everything else happens on the gauges' thread.

A step is counted when its batch is handed over. A batch's examples are the first axis of its first
tensor or array; of a batch that holds none, the DataLoader's `batch_size`; else they are not known
(null, never a guess). With `DataLoader(batch_size=None)` they are not known either.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from labbook.client.dataset import is_array, is_tensor
from labbook.client.recorder import Recorder
from labbook.client.trial import is_trial
from labbook.client.values import check_name
from labbook.client.writing import touch_folder, write_json
from labbook.errors import MisuseError
from labbook.paths import RunPaths

__all__ = ["Loader", "Loaders", "Meter", "examples_in"]

SAVE_S: Final = 15.0
"""The totals are written so often, and when the run finishes."""

_NOT_KNOWN: Final = float("nan")
_SEQUENCES: Final = frozenset({tuple, list})
_clock = time.perf_counter


Seen = tuple[float, int, float, float]
"""When the newest batch was handed over; steps; examples (NaN: unknown); seconds waited.

Replaced as a whole, so that another thread reads one moment of it. A named tuple costs 0.3 µs more.
"""


class Meter:
    """What the loops over one loader did; written by the training, read by the gauges' thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: Seen = (_NOT_KNOWN, 0, 0.0, 0.0)
        self.began = _NOT_KNOWN
        """When the first loop began."""
        self.first_batch_ns: int | None = None
        self.first_step_ns: int | None = None
        """When the first step was over: the next batch was asked for."""
        self.about: dict[str, Any] = {}
        self.is_batched = True
        self.look: Callable[[Any], None] | None = None
        """Shown every batch, while somebody wants to see them."""
        self._sampled: Seen | None = None

    def begin(self, now: float) -> None:
        """A loop begins."""
        if math.isnan(self.began):
            self.began = now
            self._sampled = self.seen = (now, 0, 0.0, 0.0)

    def count(self, batch: Any) -> float:
        """Examples in a batch; NaN when they are not known."""
        if self.is_batched:
            # the common case of examples_in, without the calls
            part = batch[0] if type(batch) in _SEQUENCES and batch else batch
            shape = part.shape if is_tensor(part) else None
            n = shape[0] if shape else examples_in(batch)
            if n is not None:
                return n
        size = self.about.get("batch_size")
        return _NOT_KNOWN if size is None else size

    def wait(self, seconds: float) -> None:
        """Add time waited that brought no batch."""
        at, steps, examples, waited = self.seen
        self.seen = (at, steps, examples, waited + seconds)

    def rates(self) -> list[float | None] | None:
        """Steps and examples a second and the percentage waited since the last call.

        Measured from one batch handed over to another, so that steps longer than the time between
        two calls are measured too. None when no batch has come since.
        """
        before, now = self._sampled, self.seen
        if before is None or now[1] == before[1] or now[0] <= before[0]:
            return None
        self._sampled = now
        seconds, steps, examples, waited = (n - b for n, b in zip(now, before, strict=True))
        return [
            steps / seconds,
            None if math.isnan(examples) else examples / seconds,
            min(100 * waited / seconds, 100.0),
        ]

    def totals(self) -> dict[str, Any]:
        """All of it, as JSON."""
        at, steps, examples, waited = self.seen
        return {
            **self.about,
            "steps": steps,
            "examples": None if math.isnan(examples) else int(examples),
            "seconds": at - self.began if steps else None,
            "wait_seconds": waited if steps else None,
            "first_batch_ns": self.first_batch_ns,
            "first_step_ns": self.first_step_ns,
        }


class Loaders:
    """The meters of a run, by name."""

    def __init__(self, writer: Recorder, paths: RunPaths, writer_name: str) -> None:
        self.meters: dict[str, Meter] = {}
        self._writer = writer
        self._file = paths.meta / f"loaders-{writer_name}.json"
        self._root = paths.root
        self._writer_name = writer_name
        self._lookers: list[Callable[[Any], None]] = []
        self._saved_s: float | None = None

    def wrap(self, loader: Any, name: str = "train") -> Loader:
        """Return `loader` with its loops measured under `name`.

        Raises `MisuseError` for what cannot be iterated.
        """
        check_name(name)
        if isinstance(loader, Loader):
            loader = object.__getattribute__(loader, "_wrapped")
        if not hasattr(loader, "__iter__") and not hasattr(loader, "__getitem__"):
            raise MisuseError(
                f"run.loader() wants a DataLoader or something else to iterate over, got "
                f"{type(loader).__name__}"
            )
        meter = self.meters.get(name)
        if meter is None:
            meter = self.meters[name] = Meter(name)
            self._set_look()
        meter.about = _about(loader)
        # torch's: without a batch size and a batch sampler, the dataset's items pass one by one
        meter.is_batched = getattr(loader, "batch_sampler", loader) is not None
        return Loader(loader, meter)

    def show_batches(self, look: Callable[[Any], None]) -> None:
        """Show every batch to `look` before the loop gets it; it must not raise."""
        self._lookers.append(look)
        self._set_look()

    def stop_showing(self, look: Callable[[Any], None]) -> None:
        """End that."""
        if look in self._lookers:
            self._lookers.remove(look)
        self._set_look()

    def _set_look(self) -> None:
        for meter in self.meters.values():
            meter.look = self._look if self._lookers else None

    def _look(self, batch: Any) -> None:
        for look in tuple(self._lookers):
            look(batch)

    def tick(self) -> None:
        """Write gauges, and the totals when they are due: once a second, on the gauges' thread."""
        now = time.monotonic()
        for meter in tuple(self.meters.values()):
            rates = meter.rates()
            if rates is not None:
                names = ("steps_per_second", "examples_per_second", "wait_percent")
                self._writer.row(
                    "gauges", tuple(f"{meter.name}.{name}" for name in names), rates, None
                )
        is_begun = any(meter.first_step_ns is not None for meter in self.meters.values())
        if is_begun and (self._saved_s is None or now - self._saved_s >= SAVE_S):
            self._saved_s = now
            self.save()

    def close(self, _timeout_s: float = 0.0) -> None:
        """Write the last gauges and the totals."""
        self.tick()
        if any(meter.seen[1] for meter in self.meters.values()):
            self.save()

    def save(self) -> None:
        """Write the totals; a storage fault is counted."""
        body = {
            "fact": "loaders",
            "time_ns": time.time_ns(),
            "writer": self._writer_name,
            "loaders": {name: meter.totals() for name, meter in self.meters.items()},
        }
        try:
            write_json(self._file, body)
        except OSError as error:
            self._writer.fault("meta", f"cannot write {self._file}: {error.strerror}")
        touch_folder(self._root)


class Loader:
    """A loader whose loops are measured; in everything else it is the loader itself.

    Attributes are the loader's own, to read and to set. A copy or a pickle of it is one of the
    loader alone.
    """

    __slots__ = ("__weakref__", "_meter", "_wrapped")

    _meter: Meter
    _wrapped: Any

    def __init__(self, wrapped: Any, meter: Meter) -> None:
        object.__setattr__(self, "_wrapped", wrapped)
        object.__setattr__(self, "_meter", meter)

    def __iter__(self) -> Iterator[Any]:
        if is_trial():
            return iter(self._wrapped)
        meter, before = self._meter, _clock()
        meter.begin(before)
        # now, not at the first batch: a DataLoader draws its seed here, and starts its workers
        iterator = iter(self._wrapped)
        meter.wait(_clock() - before)
        return _Batches(iterator, meter)

    def __len__(self) -> int:
        return len(self._wrapped)

    def __bool__(self) -> bool:
        return bool(self._wrapped)

    def __getitem__(self, index: Any) -> Any:
        return self._wrapped[index]

    def __getattr__(self, name: str) -> Any:
        if name in {"_wrapped", "_meter"}:  # a copy under construction
            raise AttributeError(name)
        return getattr(self._wrapped, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._wrapped, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._wrapped, name)

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return _itself, (self._wrapped,)

    def __repr__(self) -> str:
        return f"<labbook loader {self._meter.name!r} of {self._wrapped!r}>"


class _Batches:
    """One loop over a loader."""

    __slots__ = ("_iterator", "_meter", "_next")

    def __init__(self, iterator: Iterator[Any], meter: Meter) -> None:
        self._iterator = iterator
        self._next = iterator.__next__
        self._meter = meter

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> Any:
        meter, before = self._meter, _clock()
        if meter.first_step_ns is None and meter.first_batch_ns is not None:
            meter.first_step_ns = time.time_ns()
        try:
            batch = self._next()
        except BaseException:
            meter.wait(_clock() - before)
            raise
        now = _clock()
        _, steps, examples, waited = meter.seen
        meter.seen = (now, steps + 1, examples + meter.count(batch), waited + now - before)
        if not steps:
            meter.first_batch_ns = time.time_ns()
        if meter.look is not None:
            meter.look(batch)
        return batch

    def __getattr__(self, name: str) -> Any:
        if name == "_iterator":
            raise AttributeError(name)
        return getattr(self._iterator, name)


def examples_in(batch: Any) -> int | None:
    """Length of the first axis of the first tensor or array in a batch; None when it has none."""
    shape = getattr(batch, "shape", None)
    if shape is not None:
        return shape[0] if len(shape) and (is_tensor(batch) or is_array(batch)) else None
    if isinstance(batch, Mapping):
        batch = batch.values()
    elif not isinstance(batch, (tuple, list)):
        return None
    for part in batch:
        if not isinstance(part, (str, bytes, int, float)):
            found = examples_in(part)
            if found is not None:
                return found
    return None


def _about(loader: Any) -> dict[str, Any]:
    """What a loader says of itself."""
    size, workers = getattr(loader, "batch_size", None), getattr(loader, "num_workers", None)
    return {
        "batch_size": size if isinstance(size, int) else None,
        "workers": workers if isinstance(workers, int) else None,
    }


def _itself(value: Any) -> Any:
    return value
