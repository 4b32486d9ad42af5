"""How a run used its machine, computed from the rows of its gauges.

A reading stands for the time since the reading before it, so that means and shares are right where
the interval changes; time next to a null, or longer ago than `LONGEST_S` (or one and a half of the
usual interval, where that is longer), is not known and counts for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from labbook.book.throttle import HELD_BACK, REASONS

if TYPE_CHECKING:
    import numpy.typing as npt

    from labbook.book.points import Points
    from labbook.book.runreader import RunReader

__all__ = ["IDLE_PERCENT", "GpuUse", "MachineUse", "machine_use"]

IDLE_PERCENT: Final = 10.0
"""A GPU is idle while its utilisation (the share of time in which a kernel ran) is below this."""

LONGEST_S: Final = 60.0

_GPU: Final = re.compile(r"(gpu\.\d+)\.(\w+)")


@dataclass(frozen=True)
class GpuUse:
    """One GPU over the whole run, all attempts. None is "not measured" throughout."""

    name: str
    """`gpu.0`: the number the program knew it by, or the first of them."""
    uuid: str | None
    model: str | None
    known_s: float
    """Seconds in which its utilisation is known."""
    mean_util_percent: float | None
    idle_s: float | None
    """Seconds with a utilisation below `IDLE_PERCENT`."""
    idle_share: float | None
    """`idle_s / known_s`."""
    peak_memory_bytes: float | None
    """Of the device, whoever used it."""
    peak_process_memory_bytes: float | None
    """Of one process tree of the run."""
    memory_total_bytes: float | None
    peak_torch_bytes: float | None
    """The most that torch's tensors held."""
    energy_joules: float | None
    """Of the device, whoever used it, up to the last time it answered."""
    energy_kind: str | None
    """"counter" of the device, or "integrated" from its power."""
    peak_temperature_celsius: float | None
    held_back: dict[str, float]
    """Reason → share of the known time in which it kept the clocks down."""
    ecc_uncorrected: float | None
    """Uncorrected memory errors that came during the run."""


@dataclass(frozen=True)
class MachineUse:
    """A run's use of its machines. None is "not measured" throughout."""

    known_s: float
    """Seconds in which the CPU use of its processes is known, of all ranks together."""
    mean_cpu_percent: float | None
    """Of one core; the ranks' process trees added up."""
    peak_rss_bytes: float | None
    """The ranks' peaks added up; pages that processes share count in each."""
    gpus: tuple[GpuUse, ...]
    energy_kwh: float | None
    """Of all GPUs; None when not all of them are known."""


@dataclass(frozen=True)
class _Readings:
    """One gauge of one writer, by time."""

    at_s: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]  # NaN where it is null

    @property
    def known(self) -> npt.NDArray[np.float64]:
        return self.value[np.isfinite(self.value)]

    def peak(self) -> float | None:
        return float(self.known.max()) if len(self.known) else None

    def weights(self) -> npt.NDArray[np.float64]:
        """Seconds that each reading stands for, (n,)."""
        if len(self.at_s) < 2:
            return np.zeros(len(self.at_s))
        since = np.diff(self.at_s, prepend=self.at_s[0])
        since[since > max(LONGEST_S, 1.5 * float(np.median(since[1:])))] = 0.0
        return np.where(np.isfinite(self.value), since, 0.0)

    def mean(self) -> tuple[float | None, float]:
        """The mean over time, and the seconds it is of; of one reading that one."""
        weights = self.weights()
        seconds = float(weights.sum())
        if seconds > 0:
            value = np.where(weights > 0, self.value, 0.0)
            return float((weights * value).sum()) / seconds, seconds
        return (float(self.known.mean()) if len(self.known) else None), 0.0


_Gauges = dict[str, _Readings]


def machine_use(reader: RunReader) -> MachineUse | None:
    """Compute a run's use of its machine; None when no gauges were recorded."""
    by_writer = _by_writer(reader.gauge_points())
    if not by_writer:
        return None
    ranks: dict[int, list[_Gauges]] = {}
    for writer, gauges in by_writer.items():
        process = reader.facts.processes.get(writer)
        ranks.setdefault(process.rank if process else 0, []).append(gauges)
    cpu = [_joined(_of(attempts, "cpu.percent")) for attempts in ranks.values()]
    means = [mean for mean, _ in cpu if mean is not None]
    peaks = [_highest(_of(attempts, "memory.rss_bytes")) for attempts in ranks.values()]
    known_peaks = [peak for peak in peaks if peak is not None]
    gpus = tuple(_gpus(reader, by_writer))
    joules = [gpu.energy_joules for gpu in gpus]
    known = [each for each in joules if each is not None]
    return MachineUse(
        known_s=sum(seconds for _, seconds in cpu),
        mean_cpu_percent=sum(means) if means else None,
        peak_rss_bytes=sum(known_peaks) if known_peaks else None,
        gpus=gpus,
        energy_kwh=sum(known) / 3.6e6 if known and len(known) == len(joules) else None,
    )


def _by_writer(points: dict[tuple[str, str], Points]) -> dict[str, _Gauges]:
    found: dict[str, _Gauges] = {}
    for (writer, name), each in sorted(points.items()):
        value = np.where(each.valid, each.value, np.nan)
        found.setdefault(writer, {})[name] = _Readings(each.time_ms / 1e3, value)
    return found


def _of(each: Iterable[_Gauges], name: str) -> list[_Readings]:
    return [gauges[name] for gauges in each if name in gauges]


def _joined(parts: list[_Readings]) -> tuple[float | None, float]:
    """The mean over several stretches of time, and their length."""
    found = [part.mean() for part in parts]
    seconds = sum(length for _, length in found)
    if seconds > 0:
        return sum((mean or 0.0) * length for mean, length in found) / seconds, seconds
    return next((mean for mean, _ in found if mean is not None), None), 0.0


def _highest(parts: list[_Readings]) -> float | None:
    peaks = [peak for part in parts if (peak := part.peak()) is not None]
    return max(peaks, default=None)


# ---------------------------------------------------------------------- GPUs


@dataclass(frozen=True)
class _Device:
    """A GPU as one writer saw it."""

    attempt: int
    name: str
    fact: dict[str, Any]
    gauges: _Gauges  # without "gpu.<i>."


def _gpus(reader: RunReader, by_writer: dict[str, _Gauges]) -> Iterator[GpuUse]:
    devices: dict[Any, list[_Device]] = {}
    for writer, gauges in sorted(by_writer.items()):
        process = reader.facts.processes.get(writer)
        facts = _facts(reader, writer)
        parts: dict[str, _Gauges] = {}
        for name, readings in gauges.items():
            if match := _GPU.fullmatch(name):
                parts.setdefault(match[1], {})[match[2]] = readings
        for name, mine in parts.items():
            fact = facts.get(name, {})
            key = _text(fact.get("uuid")) or (writer, name)
            attempt = process.attempt if process else 0
            devices.setdefault(key, []).append(_Device(attempt, name, fact, mine))
    for _, seen in sorted(devices.items(), key=lambda item: (_number(item[1][0]), str(item[0]))):
        yield _use(seen)


def _number(device: _Device) -> int:
    return int(device.name.partition(".")[2])


def _facts(reader: RunReader, writer: str) -> dict[str, dict[str, Any]]:
    """What this writer told of its GPUs last, by name."""
    found: dict[str, dict[str, Any]] = {}
    for record in reader.facts.facts("gpus"):
        listed = record.get("gpus")
        if record.get("writer") == writer and isinstance(listed, list):
            found = {str(each.get("gauge")): each for each in listed if isinstance(each, dict)}
    return found


def _use(seen: list[_Device]) -> GpuUse:
    """One GPU, as several ranks and attempts saw it."""
    # ranks that see the same GPU at the same time say the same: of each attempt the longest record
    attempts: dict[int, _Device] = {}
    for device in seen:
        best = attempts.get(device.attempt)
        if best is None or _length(device) > _length(best):
            attempts[device.attempt] = device
    every = [device.gauges for device in attempts.values()]
    mean, known_s = _joined(_of(every, "util_percent"))
    idle_s = sum(_seconds_below(readings) for readings in _of(every, "util_percent"))
    all_seen = [device.gauges for device in seen]
    fact = seen[-1].fact
    return GpuUse(
        name=seen[0].name,
        uuid=_text(fact.get("uuid")),
        model=_text(fact.get("name")),
        known_s=known_s,
        mean_util_percent=mean,
        idle_s=idle_s if known_s else None,
        idle_share=idle_s / known_s if known_s else None,
        peak_memory_bytes=_highest(_of(all_seen, "memory_used_bytes")),
        peak_process_memory_bytes=_highest(_of(all_seen, "process_memory_bytes")),
        memory_total_bytes=_highest(_of(all_seen, "memory_total_bytes")),
        peak_torch_bytes=_highest(_of(all_seen, "torch_peak_bytes")),
        energy_joules=_summed(_of(every, "energy_joules"), lambda known: float(known[-1])),
        energy_kind=_text(fact.get("energy")),
        peak_temperature_celsius=_highest(_of(all_seen, "temperature_celsius")),
        held_back=_held_back(_of(every, "throttle_bitmask")),
        ecc_uncorrected=_summed(_of(every, "ecc_uncorrected_count"), lambda k: float(k[-1] - k[0])),
    )


def _length(device: _Device) -> int:
    return max((len(readings.known) for readings in device.gauges.values()), default=0)


def _seconds_below(readings: _Readings) -> float:
    return float(readings.weights()[readings.value < IDLE_PERCENT].sum())


def _summed(parts: list[_Readings], of_known: Any) -> float | None:
    """The sum over attempts of a figure that each has by itself."""
    found = [of_known(part.known) for part in parts if len(part.known)]
    return sum(found) if found else None


def _held_back(parts: list[_Readings]) -> dict[str, float]:
    seconds = sum(float(part.weights().sum()) for part in parts)
    found = {}
    for bit in HELD_BACK if seconds else ():
        held = sum(float(part.weights()[_bits(part.value) & bit > 0].sum()) for part in parts)
        if held:
            found[REASONS[bit]] = held / seconds
    return found


def _bits(value: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    is_mask = np.isfinite(value) & (value >= 0) & (value < 2**53)
    return np.where(is_mask, value, 0.0).astype(np.int64)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
