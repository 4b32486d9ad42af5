"""AMD's GPUs through `amdsmi`, which comes with ROCm, where it is installed.

Written against amdsmi 7.0: its calls give plain numbers in dicts, "N/A" for what is not there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

from labbook.client.gauge_gpu import Card, Pids, Question, Unsupported, tree_memory
from labbook.conditions import gpus

__all__ = ["Amd", "driver"]

_DEVICE: Final = "/dev/kfd"
"""There once the kernel's driver for computing is loaded."""

_NOT_SUPPORTED: Final = frozenset({2, 3})  # AMDSMI_STATUS_NOT_SUPPORTED, …_NOT_YET_IMPLEMENTED
_MICRO: Final = 1e-6


def driver(environment: Mapping[str, str]) -> Amd | None:
    """AMD's library, not opened yet; None without a driver, or without `amdsmi`."""
    if not os.path.exists(_DEVICE) or find_spec("amdsmi") is None:
        return None
    import amdsmi

    return Amd(amdsmi, environment)


class Amd:
    """Asks amdsmi. Memory in bytes, power in watts, energy in joules, clocks in MHz."""

    kind = "amd"

    def __init__(self, smi: Any, environment: Mapping[str, str]) -> None:
        self._smi = smi
        self._environment = environment
        self._is_open = False
        self.errors: tuple[type[Exception], ...] = (smi.AmdSmiException,)
        self.questions: tuple[Question, ...] = (
            self._question(self._utilisation, "util_percent", "memory_util_percent"),
            self._question(self._memory, "memory_used_bytes"),
            self._question(self._of_tree, "process_memory_bytes"),
            self._question(self._power, "power_watts"),
            self._question(self._energy, "energy_joules"),
            self._question(self._temperature, "temperature_celsius"),
            self._question(self._clocks, "sm_clock_mhz", "memory_clock_mhz"),
            self._question(self._total, "memory_total_bytes", is_slow=True),
            self._question(self._ecc, "ecc_corrected_count", "ecc_uncorrected_count", is_slow=True),
        )

    def open(self, uuids: Sequence[str] | None) -> list[Card]:
        """Begin with the library anew; a card that is not there any more has no handle."""
        smi = self._smi
        if self._is_open:
            try:
                smi.amdsmi_shut_down()
            except smi.AmdSmiException:
                pass  # it was gone already
        self._is_open = False
        smi.amdsmi_init()
        self._is_open = True
        every = [self._card(handle) for handle in smi.amdsmi_get_processor_handles()]
        if uuids is None:
            return _visible(every, self._environment)
        found = {card.uuid: card for card in every}
        return [found.get(uuid) or Card(uuid, None, None) for uuid in uuids]

    def order(self) -> list[str] | None:
        """None: the order of HIP is that of the environment's variables."""
        return None

    def _card(self, handle: Any) -> Card:
        asic = self._smi.amdsmi_get_gpu_asic_info(handle)
        return Card(self._smi.amdsmi_get_gpu_device_uuid(handle), asic.get("market_name"), handle)

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
            except self._smi.AmdSmiLibraryException as error:
                if error.get_error_code() in _NOT_SUPPORTED:
                    raise Unsupported from error
                raise

        return Question(gauges, guarded, is_slow)

    def _utilisation(self, handle: Any, _: Pids) -> Sequence[float | None]:
        activity = self._smi.amdsmi_get_gpu_activity(handle)
        return _number(activity["gfx_activity"]), _number(activity["umc_activity"])

    def _memory(self, handle: Any, _: Pids) -> Sequence[float | None]:
        kind = self._smi.AmdSmiMemoryType.VRAM
        return (self._smi.amdsmi_get_gpu_memory_usage(handle, kind),)

    def _total(self, handle: Any, _: Pids) -> Sequence[float | None]:
        kind = self._smi.AmdSmiMemoryType.VRAM
        return (self._smi.amdsmi_get_gpu_memory_total(handle, kind),)

    def _of_tree(self, handle: Any, pids: Pids) -> Sequence[float | None]:
        listed = self._smi.amdsmi_get_gpu_process_list(handle)
        return (tree_memory(((p["pid"], p["memory_usage"]["vram_mem"]) for p in listed), pids),)

    def _power(self, handle: Any, _: Pids) -> Sequence[float | None]:
        power = self._smi.amdsmi_get_power_info(handle)
        # which of the two is there depends on the model
        now = _number(power.get("current_socket_power"))
        return (_number(power.get("average_socket_power")) if now is None else now,)

    def _energy(self, handle: Any, _: Pids) -> Sequence[float | None]:
        """The counter's unit is told beside it, in microjoules."""
        counted = self._smi.amdsmi_get_energy_count(handle)
        return (counted["energy_accumulator"] * counted["counter_resolution"] * _MICRO,)

    def _temperature(self, handle: Any, _: Pids) -> Sequence[float | None]:
        smi = self._smi
        sensor, metric = smi.AmdSmiTemperatureType.HOTSPOT, smi.AmdSmiTemperatureMetric.CURRENT
        return (smi.amdsmi_get_temp_metric(handle, sensor, metric),)

    def _clocks(self, handle: Any, _: Pids) -> Sequence[float | None]:
        smi = self._smi
        kinds = (smi.AmdSmiClkType.GFX, smi.AmdSmiClkType.MEM)
        return tuple(_number(smi.amdsmi_get_clock_info(handle, kind)["clk"]) for kind in kinds)

    def _ecc(self, handle: Any, _: Pids) -> Sequence[float | None]:
        counted = self._smi.amdsmi_get_gpu_total_ecc_count(handle)
        return counted["correctable_count"], counted["uncorrectable_count"]


def _visible(cards: list[Card], environment: Mapping[str, str]) -> list[Card]:
    """What ROCr leaves, and of that what HIP leaves; HIP reads CUDA's variable too."""
    hip = environment.get("HIP_VISIBLE_DEVICES", environment.get("CUDA_VISIBLE_DEVICES"))
    for setting in (environment.get("ROCR_VISIBLE_DEVICES"), hip):
        cards = [cards[at] for at in gpus.visible([card.uuid for card in cards], setting)]
    return cards


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None
