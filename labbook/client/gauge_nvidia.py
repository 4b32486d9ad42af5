"""NVIDIA's GPUs through NVML (`nvidia-ml-py`). A machine without a driver is normal.

What each call means is in NVML's reference: https://docs.nvidia.com/deploy/nvml-api/.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from labbook.client.gauge_gpu import Card, Pids, Question, Unsupported, tree_memory
from labbook.client.gauge_torch import cuda_uuids
from labbook.conditions import gpus

__all__ = ["Nvidia", "driver"]

_LIBRARY: Final = "libnvidia-ml.so.1"


def driver(environment: Mapping[str, str]) -> Nvidia | None:
    """NVML, not opened yet; None where no NVIDIA driver is installed."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return None  # no driver here: not a fault
    import pynvml

    return Nvidia(pynvml, environment)


class Nvidia:
    """Asks NVML. Memory in bytes, power in watts, energy in joules, clocks in MHz."""

    kind = "nvidia"

    def __init__(self, nvml: Any, environment: Mapping[str, str]) -> None:
        self._nvml = nvml
        self._environment = environment
        self._is_open = False
        self.errors: tuple[type[Exception], ...] = (nvml.NVMLError,)
        self._never = (
            nvml.NVMLError_NotSupported,
            nvml.NVMLError_FunctionNotFound,  # the driver is older than the question
            nvml.NVMLError_ArgumentVersionMismatch,
            nvml.NVMLError_NoPermission,
        )
        self.questions: tuple[Question, ...] = (
            self._question(self._utilisation, "util_percent", "memory_util_percent"),
            self._question(self._memory, "memory_used_bytes"),
            self._question(self._of_tree, "process_memory_bytes"),
            self._question(self._power, "power_watts"),
            self._question(self._energy, "energy_joules"),
            self._question(self._temperature, "temperature_celsius"),
            self._question(self._clocks, "sm_clock_mhz", "memory_clock_mhz"),
            self._question(self._throttle, "throttle_bitmask"),
            self._question(self._total, "memory_total_bytes", is_slow=True),
            self._question(
                self._pcie, "pcie_sent_bytes_per_s", "pcie_received_bytes_per_s", is_slow=True
            ),
            self._question(self._ecc, "ecc_corrected_count", "ecc_uncorrected_count", is_slow=True),
        )

    def open(self, uuids: Sequence[str] | None) -> list[Card]:
        """Begin with NVML anew; a card that is not there any more has no handle."""
        nvml = self._nvml
        if self._is_open:
            try:
                nvml.nvmlShutdown()  # handles of a driver that was loaded anew are no good
            except nvml.NVMLError:
                pass  # it was gone already
        self._is_open = False
        nvml.nvmlInit()
        self._is_open = True
        return self._visible() if uuids is None else [self._by_uuid(uuid) for uuid in uuids]

    def order(self) -> list[str] | None:
        """Return the order of CUDA itself, once torch has initialised it.

        `CUDA_DEVICE_ORDER` is FASTEST_FIRST unless the user says PCI_BUS_ID, while NVML's order is
        the bus's: on a machine with unlike GPUs the numbers differ.
        """
        uuids = cuda_uuids() if self._is_open else None
        if uuids is None:
            return None
        try:
            every = set(self._uuids())
        except self._nvml.NVMLError:
            return None
        found = [f"GPU-{uuid}" if f"GPU-{uuid}" in every else f"MIG-{uuid}" for uuid in uuids]
        is_known = all(uuid in every or self._by_uuid(uuid).handle is not None for uuid in found)
        return found if is_known else None

    # ------------------------------------------------------------------ devices

    def _uuids(self) -> list[str]:
        nvml = self._nvml
        found = []
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                found.append(_text(nvml.nvmlDeviceGetUUID(handle)))
            except nvml.NVMLError:
                found.append("")  # fallen off the bus: the others keep their numbers
        return found

    def _visible(self) -> list[Card]:
        """The cards that `CUDA_VISIBLE_DEVICES` leaves, in its order."""
        setting = self._environment.get("CUDA_VISIBLE_DEVICES")
        if setting is not None and setting.strip().startswith("MIG-"):
            cards = [self._by_uuid(word.strip()) for word in setting.split(",")]
            there = [card.handle is not None for card in cards]
            return cards[: there.index(False)] if False in there else cards
        uuids = self._uuids()
        return [self._by_uuid(uuids[at]) for at in gpus.visible(uuids, setting) if uuids[at]]

    def _by_uuid(self, uuid: str) -> Card:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            return Card(uuid, _text(nvml.nvmlDeviceGetName(handle)), handle)
        except nvml.NVMLError:
            return Card(uuid, None, None)

    # ------------------------------------------------------------------ questions

    def _question(
        self,
        ask: Callable[[Any, Pids], Sequence[float | None]],
        *gauges: str,
        is_slow: bool = False,
    ) -> Question:
        def guarded(card: Card, pids: Pids) -> Sequence[float | None]:
            try:
                return ask(card.handle, pids)
            except self._never as error:
                raise Unsupported from error
            except self._nvml.NVMLError_InvalidArgument as error:
                if card.uuid.startswith("MIG-"):  # how a slice says that only the whole GPU has it
                    raise Unsupported from error
                raise

        return Question(gauges, guarded, is_slow)

    def _utilisation(self, handle: Any, _: Pids) -> Sequence[float]:
        """Share of the last 1/6 to 1 s in which a kernel ran, and in which memory was accessed."""
        rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
        return rates.gpu, rates.memory

    def _memory_info(self, handle: Any) -> Any:
        nvml = self._nvml
        try:  # version 2 leaves out what the driver keeps for itself, as nvidia-smi does
            return nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        except self._never:
            return nvml.nvmlDeviceGetMemoryInfo(handle)

    def _memory(self, handle: Any, _: Pids) -> Sequence[float]:
        return (self._memory_info(handle).used,)

    def _total(self, handle: Any, _: Pids) -> Sequence[float]:
        return (self._memory_info(handle).total,)

    def _of_tree(self, handle: Any, pids: Pids) -> Sequence[float | None]:
        listed = self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        return (tree_memory(((each.pid, each.usedGpuMemory) for each in listed), pids),)

    def _power(self, handle: Any, _: Pids) -> Sequence[float]:
        return (self._nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,)

    def _energy(self, handle: Any, _: Pids) -> Sequence[float]:
        """Since the driver was loaded; Volta and newer."""
        return (self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3,)

    def _temperature(self, handle: Any, _: Pids) -> Sequence[float]:
        return (self._nvml.nvmlDeviceGetTemperature(handle, self._nvml.NVML_TEMPERATURE_GPU),)

    def _clocks(self, handle: Any, _: Pids) -> Sequence[float]:
        nvml = self._nvml
        return (
            nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
        )

    def _throttle(self, handle: Any, _: Pids) -> Sequence[float]:
        """The bits of nvmlClocksEventReason…; `labbook.book.throttle` has their meaning."""
        nvml = self._nvml
        try:
            return (nvml.nvmlDeviceGetCurrentClocksEventReasons(handle),)
        except nvml.NVMLError_FunctionNotFound:  # its name before driver 535
            return (nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),)

    def _pcie(self, handle: Any, _: Pids) -> Sequence[float]:
        """Over the 20 ms that the call takes; its KB are 1024 bytes, as in nvtop and nvitop."""
        nvml = self._nvml
        return tuple(
            nvml.nvmlDeviceGetPcieThroughput(handle, counter) * 1024
            for counter in (nvml.NVML_PCIE_UTIL_TX_BYTES, nvml.NVML_PCIE_UTIL_RX_BYTES)
        )

    def _ecc(self, handle: Any, _: Pids) -> Sequence[float]:
        """Since the driver was loaded."""
        nvml = self._nvml
        return tuple(
            nvml.nvmlDeviceGetTotalEccErrors(handle, kind, nvml.NVML_VOLATILE_ECC)
            for kind in (
                nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
                nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
            )
        )


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
