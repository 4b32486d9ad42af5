"""GPU gauges: against fakes that say so, and where there is a GPU against nvidia-smi."""

import json
import os
import subprocess
import sys
import types

import pynvml
import pytest

from labbook.client import gauge_amd, gauge_gpu, gauge_nvidia
from labbook.client.gauge_energy import Energy
from labbook.client.gauge_gpu import GpuSource, tree_memory, visible_gpus
from labbook.client.gauge_torch import TorchSource
from labbook.client.gauges import Gauges
from labbook.journal.reader import Event, Row
from tests.client.fake_amdsmi import DRIVER_GONE, NOT_SUPPORTED, FakeAmdsmi
from tests.client.fake_nvml import GIB, FakeNvml


@pytest.fixture(autouse=True)
def _on_the_host(monkeypatch):
    """These tests may run in a container, whose pids a driver does not know."""
    monkeypatch.setattr(gauge_gpu, "_sees_pids_of_host", lambda: True)


class Bench:
    """A source over a fake driver, and what it reported and told."""

    def __init__(self, driver, pids=frozenset({7, 8})):
        self.reported, self.told = [], []
        self.source = GpuSource(
            driver,
            lambda: pids,
            lambda who, error: self.reported.append((who, error)),
            lambda fact, value: self.told.append((fact, json.loads(json.dumps(value)))),
        )

    def read(self):
        values = self.source.read()
        return dict(zip(self.source.names, values, strict=True))

    def failures(self):
        return [(who, str(error)) for who, error in self.reported if error is not None]


def nvidia(nvml, **environment):
    return gauge_nvidia.Nvidia(nvml, environment)


def bench(nvml, **environment):
    return Bench(nvidia(nvml, **environment))


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told."""
    now = [1000.0]
    monkeypatch.setattr(gauge_gpu.time, "monotonic", lambda: now[0])

    def forward(seconds):
        now[0] += seconds

    return forward


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        (None, ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-cccc-3"]),
        ("2,0", ["GPU-cccc-3", "GPU-aaaa-1"]),
        ("GPU-bbbb", ["GPU-bbbb-2"]),
        ("MIG-dddd", ["MIG-dddd"]),
        ("MIG-dddd,MIG-eeee", ["MIG-dddd"]),
        ("1,-1,2", ["GPU-bbbb-2"]),
        ("0,7,1", ["GPU-aaaa-1"]),
        ("", []),
        ("-1", []),
    ],
)
def test_visible_gpus_are_numbered_as_cuda_does(visible, uuids):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    cards = nvidia(FakeNvml(), **environment).open(None)
    assert [card.uuid for card in cards] == uuids
    assert all(card.handle is not None for card in cards)


def test_all_gauges_with_their_units():
    nvml = FakeNvml(["GPU-aaaa-1"])
    nvml.listed = [(7, 2 * GIB), (99, GIB), (8, GIB)]
    assert bench(nvml).read() == {
        "gpu.0.util_percent": 97,
        "gpu.0.memory_util_percent": 41,
        "gpu.0.memory_used_bytes": 5 * GIB,
        "gpu.0.process_memory_bytes": 3 * GIB,
        "gpu.0.power_watts": 312.5,
        "gpu.0.energy_joules": 0.0,
        "gpu.0.temperature_celsius": 61,
        "gpu.0.sm_clock_mhz": 1980,
        "gpu.0.memory_clock_mhz": 2619,
        "gpu.0.throttle_bitmask": pynvml.nvmlClocksThrottleReasonSwPowerCap
        | pynvml.nvmlClocksThrottleReasonHwSlowdown,
        "gpu.0.memory_total_bytes": 80 * GIB,
        "gpu.0.pcie_sent_bytes_per_s": 100 * 1024,
        "gpu.0.pcie_received_bytes_per_s": 3000 * 1024,
        "gpu.0.ecc_corrected_count": 12,
        "gpu.0.ecc_uncorrected_count": 1,
    }


def test_what_is_slow_to_get_is_asked_now_and_then(clock):
    gpu = bench(FakeNvml(["GPU-aaaa-1"]))
    assert "gpu.0.pcie_sent_bytes_per_s" in gpu.read()
    clock(1)
    assert "gpu.0.pcie_sent_bytes_per_s" not in gpu.read()
    assert "gpu.0.util_percent" in gpu.read()
    clock(gauge_gpu.SLOW_S)
    assert "gpu.0.pcie_sent_bytes_per_s" in gpu.read()


def test_energy_is_since_the_start_and_survives_a_new_driver(clock):
    nvml = FakeNvml(["GPU-aaaa-1"])
    gpu = bench(nvml)
    found = []
    for counter in (5_000_000, 5_700_000, 100_000, 350_000):  # loaded anew before the third
        nvml.millijoules = counter
        found.append(gpu.read()["gpu.0.energy_joules"])
        clock(1)
    assert found == [0.0, 700.0, 700.0, 950.0]
    assert gpu.told[-1][1]["gpus"][0]["energy"] == "counter"


def test_without_a_counter_energy_is_power_times_time_and_says_so(clock):
    nvml = FakeNvml(["GPU-aaaa-1"])
    nvml.fail("nvmlDeviceGetTotalEnergyConsumption", pynvml.NVML_ERROR_NOT_SUPPORTED)
    gpu = bench(nvml)
    found = []
    for watts, seconds in ((100, 2), (200, 4), (200, 1)):
        nvml.milliwatts = watts * 1000
        found.append(gpu.read()["gpu.0.energy_joules"])
        clock(seconds)
    assert found == [0.0, 300.0, 1100.0]
    assert gpu.told[-1][1]["gpus"][0]["energy"] == "integrated"


def test_power_is_not_carried_over_a_gap():
    energy = Energy()
    for power, at in ((100.0, 0.0), (100.0, 10.0), (None, 20.0), (100.0, 30.0), (100.0, 200.0)):
        joules = energy.read(None, power, at, has_counter=False)
        assert (joules is None) == (power is None)
    assert joules == 1000.0


def test_what_a_device_lacks_is_null_and_not_asked_again():
    nvml = FakeNvml([])
    gpu = bench(nvml, CUDA_VISIBLE_DEVICES="MIG-dddd")
    first = gpu.read()
    assert first["gpu.0.memory_used_bytes"] == 5 * GIB
    for gauge in ("util_percent", "power_watts", "energy_joules", "temperature_celsius"):
        assert first[f"gpu.0.{gauge}"] is None
    assert gpu.failures() == []
    nvml.asked.clear()
    gpu.read()
    # version 2 of the memory's size, and what the processes hold
    assert {function for function, _ in nvml.asked} == {
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses",
    }


def test_an_older_driver_is_asked_by_the_older_names():
    nvml = FakeNvml(["GPU-aaaa-1"])
    for function in ("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetCurrentClocksEventReasons"):
        nvml.fail(function, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    found = bench(nvml).read()
    assert found["gpu.0.memory_used_bytes"] == 6 * GIB
    assert found["gpu.0.throttle_bitmask"] == pynvml.nvmlClocksThrottleReasonGpuIdle


def test_a_gpu_that_is_lost_is_null_while_the_others_go_on(clock):
    nvml = FakeNvml(["GPU-aaaa-1", "GPU-bbbb-2"])
    gpu = bench(nvml)
    before = gpu.read()
    nvml.fail("*", pynvml.NVML_ERROR_GPU_IS_LOST, "GPU-aaaa-1")
    for _ in range(3):
        clock(1)
        found = gpu.read()
        assert {v for name, v in found.items() if name.startswith("gpu.0.")} == {None}
        assert found["gpu.1.util_percent"] == 97
    assert gpu.failures() == [("gpu.0", "GPU is lost")]  # said once, not at each sample
    nvml.mend()
    clock(gauge_gpu.RETRY_S)
    found = gpu.read()
    assert found["gpu.0.util_percent"] == 97
    assert gpu.reported[-2:] == [("gpu.0", None), ("gpu.1", None)]
    assert set(before) >= set(found)


def test_half_an_answer_is_none():
    nvml = FakeNvml(["GPU-aaaa-1"])
    gpu = bench(nvml)
    nvml.fail("nvmlDeviceGetTemperature", pynvml.NVML_ERROR_UNKNOWN)
    assert set(gpu.read().values()) == {None}


def test_a_driver_that_is_loaded_anew_is_opened_anew(clock):
    nvml = FakeNvml(["GPU-aaaa-1"])
    gpu = bench(nvml)
    gpu.read()
    nvml.fail("*", pynvml.NVML_ERROR_UNINITIALIZED)
    clock(1)
    assert set(gpu.read().values()) == {None}
    clock(gauge_gpu.RETRY_S)
    assert set(gpu.read().values()) == {None}  # it cannot be opened yet
    nvml.mend()
    clock(gauge_gpu.RETRY_S)
    assert gpu.read()["gpu.0.util_percent"] == 97
    assert nvml.inits == 2


def test_a_driver_that_cannot_be_opened_is_said_once_and_tried_again(clock):
    nvml = FakeNvml(["GPU-aaaa-1"])
    nvml.fail("nvmlInit", pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    gpu = bench(nvml)
    for _ in range(2):
        with pytest.raises(pynvml.NVMLError, match="Driver Not Loaded"):
            gpu.source.read()
        clock(1)
    assert gpu.source.names == ()
    assert [function for function, _ in nvml.asked] == ["nvmlInit"]
    nvml.mend()
    clock(gauge_gpu.RETRY_S)
    assert gpu.read()["gpu.0.util_percent"] == 97


def test_nulls_and_one_note_reach_the_journal(journal):
    nvml = FakeNvml(["GPU-aaaa-1"])
    gauges = Gauges(journal.writer, book=journal.paths.root)
    gauges._sampler._open = lambda: [
        GpuSource(nvidia(nvml), frozenset, gauges.report, lambda *_: None)
    ]
    gauges.sample()
    nvml.fail("*", pynvml.NVML_ERROR_GPU_IS_LOST)
    gauges.sample()
    gauges.sample()
    _, second, third = journal.records(Row)
    assert set(second.values) == set(third.values) == {None}
    assert journal.said == ["gauge gpu.0: NVMLError_GpuIsLost: GPU is lost"]
    (event,) = journal.records(Event)
    assert event.fields["kind"] == "gauges"
    assert event.fields["text"].startswith("gauge gpu.0 is null from here on: ")


# ---------------------------------------------------------------- processes and torch


@pytest.mark.parametrize(
    ("listed", "bytes_held"),
    [
        ([(7, 100), (9, 5), (8, 1)], 101),
        ([(9, 5)], 0),
        ([], 0),
        ([(7, None), (8, 1)], None),
    ],
)
def test_memory_of_the_tree(listed, bytes_held):
    assert tree_memory(listed, frozenset({7, 8})) == bytes_held


def test_in_a_container_the_pids_of_a_driver_mean_nothing(monkeypatch):
    monkeypatch.setattr(gauge_gpu, "_sees_pids_of_host", lambda: False)
    assert tree_memory([(7, 100)], frozenset({7})) is None


def fake_torch(uuids, *, is_initialized=True):
    """A labelled fake: the torch of the tests has no CUDA."""
    properties = [types.SimpleNamespace(uuid=uuid) for uuid in uuids]

    def stats(index):
        return {
            "allocated_bytes": {"all": {"current": index + 1, "peak": 50}},
            "reserved_bytes": {"all": {"current": 70}},
        }

    cuda = types.SimpleNamespace(
        is_initialized=lambda: is_initialized,
        device_count=lambda: len(uuids),
        get_device_properties=lambda index: properties[index],
        memory_stats_as_nested_dict=stats,
    )
    return types.SimpleNamespace(cuda=cuda, version=types.SimpleNamespace(hip=None))


def test_once_cuda_is_initialised_its_own_order_counts(monkeypatch, clock):
    nvml = FakeNvml(["GPU-aaaa-1", "GPU-bbbb-2"])
    gpu = bench(nvml)
    gpu.read()
    assert [each["uuid"] for each in gpu.told[-1][1]["gpus"]] == nvml.uuids
    assert gpu.told[-1][1]["order"] == "environment"
    monkeypatch.setitem(sys.modules, "torch", fake_torch(["bbbb-2", "aaaa-1"]))
    clock(1)
    gpu.read()
    (fact, value) = gpu.told[-1]
    assert (fact, value["order"], value["driver"]) == ("gpus", "program", "nvidia")
    assert [(each["gauge"], each["uuid"]) for each in value["gpus"]] == [
        ("gpu.0", "GPU-bbbb-2"),
        ("gpu.1", "GPU-aaaa-1"),
    ]
    told = len(gpu.told)
    gpu.read()
    assert len(gpu.told) == told  # only what is new


def test_a_slice_is_found_by_what_cuda_says(monkeypatch, clock):
    gpu = bench(FakeNvml(["GPU-aaaa-1"]))
    gpu.read()
    monkeypatch.setitem(sys.modules, "torch", fake_torch(["dddd"]))
    clock(1)
    gpu.read()
    assert gpu.told[-1][1]["gpus"][0]["uuid"] == "MIG-dddd"


def test_uuids_that_nvml_does_not_know_change_nothing(monkeypatch, clock):
    gpu = bench(FakeNvml(["GPU-aaaa-1"]))
    gpu.read()
    monkeypatch.setitem(sys.modules, "torch", fake_torch(["????"]))
    clock(1)
    assert gpu.read()["gpu.0.util_percent"] == 97
    assert gpu.told[-1][1]["order"] == "environment"


def test_torch_tells_its_own_account(monkeypatch):
    source = TorchSource()
    monkeypatch.setitem(sys.modules, "torch", fake_torch(["a"], is_initialized=False))
    assert (source.read(), source.names) == ([], ())
    monkeypatch.setitem(sys.modules, "torch", fake_torch(["a", "b"]))
    assert source.read() == [1, 70, 50, 2, 70, 50]
    assert source.names[3:] == (
        "gpu.1.torch_allocated_bytes",
        "gpu.1.torch_reserved_bytes",
        "gpu.1.torch_peak_bytes",
    )


def test_torch_is_neither_imported_nor_its_cuda_initialised():
    code = """
import sys
from labbook.client.gauge_torch import TorchSource, cuda_uuids
source = TorchSource()
assert source.read() == [] and cuda_uuids() is None
assert "torch" not in sys.modules
import torch
assert source.read() == [] and cuda_uuids() is None
assert not torch.cuda.is_initialized()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_half_imported_torch_is_no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    assert TorchSource().read() == []


# ---------------------------------------------------------------- AMD


def test_amd_gauges_with_their_units(clock):
    smi = FakeAmdsmi()
    gpu = Bench(gauge_amd.Amd(smi, {"HIP_VISIBLE_DEVICES": "1"}))
    assert gpu.read() == {
        "gpu.0.util_percent": 88,
        "gpu.0.memory_util_percent": 30,
        "gpu.0.memory_used_bytes": 9 * GIB,
        "gpu.0.process_memory_bytes": 3 * GIB,
        "gpu.0.power_watts": 450,
        "gpu.0.energy_joules": 0.0,
        "gpu.0.temperature_celsius": 54,
        "gpu.0.sm_clock_mhz": 2100,
        "gpu.0.memory_clock_mhz": 1300,
        "gpu.0.memory_total_bytes": 192 * GIB,
        "gpu.0.ecc_corrected_count": 3,
        "gpu.0.ecc_uncorrected_count": 0,
    }
    assert gpu.told[-1][1]["gpus"][0]["uuid"] == "22ff74a1-0000"
    smi.energy += 2_000_000
    clock(1)
    assert gpu.read()["gpu.0.energy_joules"] == pytest.approx(30.6)


def test_amd_what_is_not_supported_is_null_and_a_failure_is_reported(clock):
    smi = FakeAmdsmi()
    smi.broken = {"amdsmi_get_energy_count": NOT_SUPPORTED}
    gpu = Bench(gauge_amd.Amd(smi, {}))
    found = gpu.read()
    assert found["gpu.1.energy_joules"] == 0.0  # by its power
    assert gpu.failures() == []
    smi.broken = {"amdsmi_get_gpu_activity": DRIVER_GONE}
    clock(1)
    assert set(gpu.read().values()) == {None}
    assert [who for who, _ in gpu.failures()] == ["gpu.0", "gpu.1"]
    smi.broken = {}
    clock(gauge_gpu.RETRY_S)
    assert gpu.read()["gpu.1.util_percent"] == 88


def test_without_a_driver_there_is_nothing_and_nothing_is_said(monkeypatch):
    monkeypatch.setattr(gauge_nvidia, "_LIBRARY", "libno-such-driver.so.1")
    monkeypatch.setattr(gauge_amd, "_DEVICE", "/dev/no-such-device")
    said = []
    sources = visible_gpus(frozenset, lambda *given: said.append(given), lambda *given: None)
    assert [source.names for source in sources] == [()]
    assert [source.read() for source in sources] == [[]]
    assert said == []


def test_amd_without_amdsmi_is_silent(monkeypatch):
    monkeypatch.setattr(gauge_amd, "_DEVICE", os.devnull)
    monkeypatch.setattr(gauge_amd, "find_spec", lambda name: None)
    assert gauge_amd.driver({}) is None


# ---------------------------------------------------------------- a real GPU


def smi(*fields):
    done = subprocess.run(
        ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]


@pytest.mark.gpu
def test_the_gauges_agree_with_nvidia_smi():
    driver = gauge_nvidia.driver({})
    gpu = Bench(driver)
    fields = ("uuid", "memory.total", "memory.used", "temperature.gpu", "clocks.sm", "power.draw")
    shown = smi(*fields)
    found = gpu.read()
    assert [each["uuid"] for each in gpu.told[-1][1]["gpus"]] == [row[0] for row in shown]
    for i, (_, total, used, temperature, _, power) in enumerate(shown):
        assert found[f"gpu.{i}.memory_total_bytes"] / 2**20 == pytest.approx(float(total), abs=1)
        assert found[f"gpu.{i}.memory_used_bytes"] / 2**20 == pytest.approx(float(used), abs=64)
        assert found[f"gpu.{i}.temperature_celsius"] == pytest.approx(float(temperature), abs=5)
        assert found[f"gpu.{i}.power_watts"] == pytest.approx(float(power), rel=0.5)


@pytest.mark.gpu
def test_torch_and_the_driver_agree_on_a_real_gpu():
    import torch

    held = torch.zeros(1 << 28, device="cuda")
    torch.cuda.synchronize()
    gpu, torchs = Bench(gauge_nvidia.driver(os.environ)), TorchSource()
    gpu.read()
    values = torchs.read()
    found = gpu.read() | dict(zip(torchs.names, values, strict=True))
    assert gpu.told[-1][1]["order"] == "program"
    assert found["gpu.0.torch_allocated_bytes"] >= held.nbytes
    assert found["gpu.0.memory_used_bytes"] >= found["gpu.0.torch_reserved_bytes"]
    assert found["gpu.0.energy_joules"] >= 0
