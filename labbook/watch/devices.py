"""Which device a worker gets. Chosen by the supervisor, before the worker imports torch.

Where NVML answers, a GPU is given by its UUID in `CUDA_VISIBLE_DEVICES`: the worker then sees that
one alone, and cannot make a context on another. `auto` takes the GPU with the most free memory on
which no run trains; where there is none, the CPU.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from labbook.errors import MisuseError

__all__ = ["Device", "Gpu", "Training", "choose", "parse", "visible_gpus"]

_NAME = re.compile(r"cpu|auto|mps|xpu(:\d+)?|cuda(:\d+)?|GPU-[0-9a-fA-F-]+|MIG-\S+")
_LIBRARY = "libnvidia-ml.so.1"


@dataclass(frozen=True)
class Device:
    """A device as the worker names it, and the variables it is started with."""

    name: str
    variables: dict[str, str] = field(default_factory=dict)
    uuid: str | None = None
    why: str = ""


@dataclass(frozen=True)
class Gpu:
    """One GPU that this process may use. `pids` have a context on it, as far as NVML tells."""

    uuid: str
    name: str
    free_bytes: int
    pids: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Training:
    """A process that trains on this host: its id, and the GPUs that it could use."""

    pid: int
    uuids: frozenset[str]


def parse(text: str) -> list[str]:
    """`cuda:1,cuda:2` → its names; raises `MisuseError` for what is no device."""
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if not _NAME.fullmatch(name):
            raise MisuseError(
                f"--device must be cpu, auto, cuda, cuda:N or a GPU's UUID (several with commas), "
                f"got {name!r}"
            )
    return names


def choose(
    name: str, gpus: list[Gpu] | None, training: Iterable[Training], taken: Iterable[str]
) -> Device:
    """The device for a worker that was asked to use `name`.

    `gpus` are null where NVML does not answer: CUDA then finds the device by its number. `taken`
    are the UUIDs of GPUs that other workers of this watcher have.
    """
    if name == "auto":
        return _freest(gpus or [], list(training), set(taken))
    if name.startswith(("GPU-", "MIG-")):
        known = [gpu.uuid for gpu in gpus or [] if gpu.uuid.startswith(name)]
        return _only(known[0] if len(known) == 1 else name, "as asked")
    kind, _, number = name.partition(":")
    if kind != "cuda" or not gpus or int(number or 0) >= len(gpus) or not _is_ordered(gpus):
        return Device(name, why="as asked")
    return _only(gpus[int(number or 0)].uuid, "as asked")


def visible_gpus(nvml: Any = None) -> list[Gpu] | None:
    """The GPUs that `CUDA_VISIBLE_DEVICES` leaves to us; null where NVML does not answer."""
    nvml = nvml or _nvml()
    if nvml is None:
        return None
    from labbook.conditions.gpus import visible

    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
        places = visible(uuids, os.environ.get("CUDA_VISIBLE_DEVICES"))
        return [_gpu(nvml, uuids[i], handles[i]) for i in places]
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _freest(gpus: list[Gpu], training: list[Training], taken: set[str]) -> Device:
    """The GPU with the most free memory that is not training; those we have come last."""
    busy = {uuid for run in training for uuid in _used(run, gpus)}
    free = [gpu for gpu in gpus if gpu.uuid not in busy]
    if not free:
        why = "a run trains on every GPU" if gpus else "no GPU"
        return Device("cpu", why=why)
    best = max(free, key=lambda gpu: (gpu.uuid not in taken, gpu.free_bytes))
    return _only(best.uuid, f"{best.free_bytes >> 20} MiB free")


def _used(run: Training, gpus: list[Gpu]) -> frozenset[str]:
    """The GPUs that a run trains on: those with its process on them.

    Where NVML shows none (it hides those of other containers), all that the run could use count.
    """
    seen = frozenset(gpu.uuid for gpu in gpus if run.pid in gpu.pids)
    return seen or run.uuids


def _only(uuid: str, why: str) -> Device:
    return Device("cuda:0", {"CUDA_VISIBLE_DEVICES": uuid}, uuid, why)


def _is_ordered(gpus: list[Gpu]) -> bool:
    """Whether our numbers are CUDA's: NVML counts along the bus, CUDA from the fastest on."""
    setting = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    by_uuid = setting.startswith(("GPU-", "MIG-"))
    in_bus_order = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return by_uuid or in_bus_order or len({gpu.name for gpu in gpus}) == 1


def _gpu(nvml: Any, uuid: str, handle: Any) -> Gpu:
    try:
        found = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        pids = frozenset(int(process.pid) for process in found)
    except nvml.NVMLError:
        pids = frozenset()
    free = int(nvml.nvmlDeviceGetMemoryInfo(handle).free)
    return Gpu(uuid, _text(nvml.nvmlDeviceGetName(handle)), free, pids)


def _nvml() -> Any:
    """The binding, where a driver is there to be asked."""
    try:
        ctypes.CDLL(_LIBRARY)
        import pynvml
    except (OSError, ImportError):
        return None
    return pynvml


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
