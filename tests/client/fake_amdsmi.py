"""A labelled fake of amdsmi 7.0: the machine that runs the tests has no AMD driver.

Names, and the shape of each answer, are those of `amdsmi_interface.py` of amdsmi 7.0.2.
"""

from enum import IntEnum

GIB = 1 << 30


class AmdSmiException(Exception):
    pass


class AmdSmiLibraryException(AmdSmiException):
    def __init__(self, code):
        super().__init__(code)
        self.code = code

    def get_error_code(self):
        return self.code


NOT_SUPPORTED, DRIVER_GONE = 2, 34


class FakeAmdsmi:
    AmdSmiException = AmdSmiException
    AmdSmiLibraryException = AmdSmiLibraryException
    AmdSmiMemoryType = IntEnum("AmdSmiMemoryType", {"VRAM": 0, "VIS_VRAM": 1, "GTT": 2})
    AmdSmiClkType = IntEnum("AmdSmiClkType", {"GFX": 0, "MEM": 4})
    AmdSmiTemperatureType = IntEnum("AmdSmiTemperatureType", {"EDGE": 0, "HOTSPOT": 1})
    AmdSmiTemperatureMetric = IntEnum("AmdSmiTemperatureMetric", {"CURRENT": 0, "MAX": 1})

    def __init__(self):
        self.uuids = ["11ff74a1-0000", "22ff74a1-0000"]
        self.broken = {}
        self.energy = 1_000_000

    def _asked(self, function):
        if function in self.broken:
            raise AmdSmiLibraryException(self.broken[function])

    def amdsmi_init(self):
        self._asked("amdsmi_init")

    def amdsmi_shut_down(self):
        pass

    def amdsmi_get_processor_handles(self):
        return list(range(len(self.uuids)))

    def amdsmi_get_gpu_device_uuid(self, handle):
        return self.uuids[handle]

    def amdsmi_get_gpu_asic_info(self, handle):
        return {"market_name": "Fake Instinct"}

    def amdsmi_get_gpu_activity(self, handle):
        self._asked("amdsmi_get_gpu_activity")
        return {"gfx_activity": 88, "umc_activity": 30, "mm_activity": "N/A"}

    def amdsmi_get_gpu_memory_usage(self, handle, kind):
        assert kind is self.AmdSmiMemoryType.VRAM
        return 9 * GIB

    def amdsmi_get_gpu_memory_total(self, handle, kind):
        assert kind is self.AmdSmiMemoryType.VRAM
        return 192 * GIB

    def amdsmi_get_gpu_process_list(self, handle):
        return [{"pid": 7, "mem": 0, "memory_usage": {"vram_mem": 3 * GIB}}]

    def amdsmi_get_power_info(self, handle):
        return {"current_socket_power": "N/A", "average_socket_power": 450}

    def amdsmi_get_energy_count(self, handle):
        self._asked("amdsmi_get_energy_count")
        return {"energy_accumulator": self.energy, "counter_resolution": 15.3, "timestamp": 1}

    def amdsmi_get_temp_metric(self, handle, sensor, metric):
        assert sensor is self.AmdSmiTemperatureType.HOTSPOT
        assert metric is self.AmdSmiTemperatureMetric.CURRENT
        return 54

    def amdsmi_get_clock_info(self, handle, kind):
        return {"clk": 2100 if kind is self.AmdSmiClkType.GFX else 1300}

    def amdsmi_get_gpu_total_ecc_count(self, handle):
        self._asked("amdsmi_get_gpu_total_ecc_count")
        return {"correctable_count": 3, "uncorrectable_count": 0, "deferred_count": 0}
