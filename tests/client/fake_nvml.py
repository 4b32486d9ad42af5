"""A labelled fake of NVML: the machine that runs the tests has no NVIDIA driver.

Constants and errors are those of the real `pynvml`; what a device answers is made up here.
"""

from types import SimpleNamespace

import pynvml

GIB = 1 << 30


class FakeNvml:
    """Two unlike GPUs and a MIG slice. `broken` and `missing` say which calls fail, and how."""

    def __init__(self, uuids=("GPU-aaaa-1", "GPU-bbbb-2", "GPU-cccc-3")):
        self.uuids = list(uuids)
        self.slices = ["MIG-dddd"]
        self.asked = []
        self.broken = {}  # (function, uuid or None) -> error
        self.millijoules = 5_000_000
        self.milliwatts = 312_500
        self.listed = []
        self.inits = 0

    def __getattr__(self, name):
        if name.startswith("nvml") and not name.startswith(("nvmlMemory", "nvmlClocks")):
            raise AttributeError(name)  # a function that is not faked must not reach the real one
        return getattr(pynvml, name)

    def fail(self, function, code, uuid=None):
        self.broken[function, uuid] = pynvml.NVMLError(code)

    def mend(self):
        self.broken.clear()

    def _asked(self, function, uuid=None):
        self.asked.append((function, uuid))
        for key in ((function, uuid), (function, None), ("*", uuid), ("*", None)):
            if key in self.broken:
                raise self.broken[key]
        if uuid in self.slices and function in WHOLE_GPU_ONLY:
            raise pynvml.NVMLError(WHOLE_GPU_ONLY[function])

    def nvmlInit(self):
        self._asked("nvmlInit")
        self.inits += 1

    def nvmlShutdown(self):
        self._asked("nvmlShutdown")

    def nvmlDeviceGetCount(self):
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.uuids[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        self._asked("nvmlDeviceGetHandleByUUID", uuid)
        if uuid in self.uuids + self.slices:
            return uuid
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def nvmlDeviceGetName(self, handle):
        return f"Fake {handle}"

    def nvmlDeviceGetUtilizationRates(self, handle):
        self._asked("nvmlDeviceGetUtilizationRates", handle)
        return SimpleNamespace(gpu=97, memory=41)

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):
        self._asked("nvmlDeviceGetMemoryInfo" + ("_v2" if version else ""), handle)
        assert version in {None, pynvml.nvmlMemory_v2}
        reserved = 0 if version else GIB
        return SimpleNamespace(used=5 * GIB + reserved, total=80 * GIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        self._asked("nvmlDeviceGetComputeRunningProcesses", handle)
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.listed]

    def nvmlDeviceGetPowerUsage(self, handle):
        self._asked("nvmlDeviceGetPowerUsage", handle)
        return self.milliwatts

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        self._asked("nvmlDeviceGetTotalEnergyConsumption", handle)
        return self.millijoules

    def nvmlDeviceGetTemperature(self, handle, sensor):
        self._asked("nvmlDeviceGetTemperature", handle)
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return 61

    def nvmlDeviceGetClockInfo(self, handle, clock):
        self._asked("nvmlDeviceGetClockInfo", handle)
        return {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}[clock]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        self._asked("nvmlDeviceGetCurrentClocksEventReasons", handle)
        return pynvml.nvmlClocksEventReasonSwPowerCap | pynvml.nvmlClocksEventReasonHwSlowdown

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        self._asked("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
        return pynvml.nvmlClocksThrottleReasonGpuIdle

    def nvmlDeviceGetPcieThroughput(self, handle, counter):
        self._asked("nvmlDeviceGetPcieThroughput", handle)
        return {pynvml.NVML_PCIE_UTIL_TX_BYTES: 100, pynvml.NVML_PCIE_UTIL_RX_BYTES: 3000}[counter]

    def nvmlDeviceGetTotalEccErrors(self, handle, kind, counter):
        self._asked("nvmlDeviceGetTotalEccErrors", handle)
        assert counter == pynvml.NVML_VOLATILE_ECC
        corrected = pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED
        return {corrected: 12, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED: 1}[kind]


WHOLE_GPU_ONLY = {
    "nvmlDeviceGetUtilizationRates": pynvml.NVML_ERROR_NOT_SUPPORTED,
    "nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_NOT_SUPPORTED,
    "nvmlDeviceGetTotalEnergyConsumption": pynvml.NVML_ERROR_NOT_SUPPORTED,
    "nvmlDeviceGetTemperature": pynvml.NVML_ERROR_INVALID_ARGUMENT,
    "nvmlDeviceGetClockInfo": pynvml.NVML_ERROR_INVALID_ARGUMENT,
    "nvmlDeviceGetCurrentClocksEventReasons": pynvml.NVML_ERROR_INVALID_ARGUMENT,
    "nvmlDeviceGetPcieThroughput": pynvml.NVML_ERROR_INVALID_ARGUMENT,
    "nvmlDeviceGetTotalEccErrors": pynvml.NVML_ERROR_NOT_SUPPORTED,
}
