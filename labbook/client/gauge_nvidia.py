"""Gauges of the visible NVIDIA GPUs, through NVML. A machine without a driver is normal.

Units: percent, bytes, watts, degrees Celsius. What a device does not support is null.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["GpuSource", "visible_gpus"]

_LIBRARY = "libnvidia-ml.so.1"


class GpuSource:
    """One GPU, numbered as the program sees it (`cuda:0` is `gpu.0`)."""

    def __init__(self, nvml: Any, index: int, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self.names = tuple(
            f"gpu.{index}.{gauge}"
            for gauge in ("util_percent", "memory_used_bytes", "power_watts", "temperature_celsius")
        )

    def read(self) -> list[float | None]:
        """Return utilisation, memory, power and temperature; None where NVML gives no answer."""
        nvml, handle = self._nvml, self._handle
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage)
        return [
            self._ask(lambda h: nvml.nvmlDeviceGetUtilizationRates(h).gpu),
            self._ask(lambda h: nvml.nvmlDeviceGetMemoryInfo(h).used),
            None if milliwatts is None else milliwatts / 1000,
            self._ask(lambda h: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        ]

    def _ask(self, question: Callable[[Any], float]) -> float | None:
        try:
            return float(question(self._handle))
        except self._nvml.NVMLError_NotSupported:
            return None  # this device has no such gauge; any other error is a fault of the source


def visible_gpus() -> list[GpuSource]:
    """The GPUs this process may use; none where no driver answers."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return []  # no driver here: not a fault
    import pynvml

    pynvml.nvmlInit()
    return [GpuSource(pynvml, i, handle) for i, handle in enumerate(_handles(pynvml, os.environ))]


def _handles(nvml: Any, environment: Mapping[str, str]) -> list[Any]:
    """NVML's handles in the order CUDA numbers them, by `CUDA_VISIBLE_DEVICES`.

    Indices are NVML's (PCI order): on a machine with unlike GPUs they are CUDA's only under
    `CUDA_DEVICE_ORDER=PCI_BUS_ID`. As in CUDA, the list ends at the first entry that is not there.
    """
    count = nvml.nvmlDeviceGetCount()
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
    handles = []
    for entry in (part.strip() for part in visible.split(",")):
        if entry.isdigit() and int(entry) < count:
            handles.append(nvml.nvmlDeviceGetHandleByIndex(int(entry)))
        elif entry.startswith(("GPU-", "MIG-")):
            handles.append(_by_uuid(nvml, entry, count))
        else:
            break
    return [handle for handle in handles if handle is not None]


def _by_uuid(nvml: Any, prefix: str, count: int) -> Any:
    """The device with this UUID; CUDA accepts a unique beginning of it."""
    for i in range(count):
        handle = nvml.nvmlDeviceGetHandleByIndex(i)
        uuid = nvml.nvmlDeviceGetUUID(handle)
        if (uuid.decode() if isinstance(uuid, bytes) else uuid).startswith(prefix):
            return handle
    try:
        return nvml.nvmlDeviceGetHandleByUUID(prefix)  # a MIG instance is in no list
    except nvml.NVMLError:
        return None
