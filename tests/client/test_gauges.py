"""Gauges: what they sample, and that nothing about them reaches the training."""

import os
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace

import psutil
import pytest

from labbook.client import gauge_nvidia
from labbook.client.gauge_host import ProcessSource, _tree
from labbook.client.gauges import Gauges
from labbook.journal.reader import Row

NAMES = {
    "cpu.percent",
    "cpu.host_percent",
    "load.1m",
    "memory.rss_bytes",
    "memory.host_available_bytes",
    "memory.host_percent",
    "disk.free_bytes",
    "process.count",
    "process.threads",
}


def rows(journal):
    return [dict(zip(row.names, row.values, strict=True)) for row in journal.records(Row)]


def test_a_sample_has_what_the_machine_says(journal):
    gauges = Gauges(journal.writer, book=journal.paths.root)
    gauges.sample()
    sum(range(3_000_000))  # some work to be seen
    gauges.sample()
    first, second = rows(journal)
    assert set(first) >= NAMES
    assert {name.split(".")[0] for name in set(first) - NAMES} <= {"gpu"}
    # a rate needs two looks
    assert first["cpu.percent"] is first["cpu.host_percent"] is None
    assert second["cpu.percent"] > 0
    assert 0 <= second["cpu.host_percent"] <= 100
    assert second["memory.rss_bytes"] > 10e6
    assert second["process.count"] >= 1
    assert 0 < second["memory.host_available_bytes"] < psutil.virtual_memory().total
    assert second["disk.free_bytes"] > 0
    (row, _) = journal.records(Row)
    assert (row.table, row.step) == ("gauges", None)


def test_children_count_and_neighbours_do_not(journal):
    code = "import subprocess, sys; print(1, flush=True); sys.stdin.read()"
    source = ProcessSource(os.getpid())
    before = source.read()[2]
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        child.stdout.readline()
        assert child.pid in _tree(os.getpid())
        assert os.getppid() not in _tree(os.getpid())
        assert source.read()[2] == before + 1
    finally:
        child.communicate()
    assert source.read()[2] == before


class Broken:
    names = ("broken.one", "broken.two")

    def read(self):
        raise RuntimeError("driver gone")


def test_a_source_that_fails_leaves_nulls_and_the_others_go_on(journal):
    gauges = Gauges(journal.writer, book=journal.paths.root)
    gauges._open = lambda: [Broken(), ProcessSource(os.getpid())]
    gauges.sample()
    gauges.sample()
    for row in rows(journal):
        assert row["broken.one"] is row["broken.two"] is None
        assert row["memory.rss_bytes"] > 0
    assert journal.writer.faults == {"gauges-Broken": 2}
    assert journal.said == ["gauge Broken: RuntimeError: driver gone"]


def test_the_thread_samples_calls_and_ends(journal):
    gauges = Gauges(journal.writer, 0.01, book=journal.paths.root)
    thrice, calls = threading.Event(), []

    def callback():
        calls.append(threading.current_thread())
        if len(calls) == 3:
            thrice.set()
        raise ValueError("a callback may fail")

    gauges.add(callback, every=0.01)
    gauges.start()
    assert thrice.wait(30)
    gauges.stop(30)
    assert not gauges._thread.is_alive()
    assert set(calls) == {gauges._thread}
    assert gauges._thread.daemon
    assert len(rows(journal)) >= 1
    assert journal.writer.faults["gauges-" + callback.__qualname__] == len(calls)
    assert len(journal.said) == 1


def test_an_interval_of_zero_samples_nothing_but_still_calls(journal):
    gauges = Gauges(journal.writer, 0, book=journal.paths.root)
    called = threading.Event()
    gauges.add(called.set)
    gauges.start()
    assert called.wait(30)
    gauges.stop(30)
    assert rows(journal) == []


def test_stopping_does_not_wait_for_the_interval(journal):
    gauges = Gauges(journal.writer, 3600, book=journal.paths.root)
    gauges.start()
    gauges.stop(30)
    assert not gauges._thread.is_alive()


def test_a_forked_child_neither_samples_nor_hangs(tmp_path):
    code = """
        import os, sys, threading
        from labbook.client.gauges import Gauges

        class Writer:
            rows = 0
            def row(self, *given):
                self.rows += 1
                sampled.set()
            def fault(self, *given):
                raise AssertionError(given)

        sampled = threading.Event()
        writer = Writer()
        gauges = Gauges(writer, 0.01)
        gauges.start()
        sampled.wait()
        child = os.fork()
        if not child:
            before = writer.rows
            gauges.stop(1000)
            os._exit(10 if threading.active_count() == 1 and writer.rows == before else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        gauges.stop()
        sys.exit(status)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 10, done.stderr


def test_psutil_is_not_imported_before_the_thread_needs_it():
    code = "import sys, labbook.client.gauges; print('psutil' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---------------------------------------------------------------- NVML
# a labelled fake: the machine that runs the tests has no NVIDIA driver


class NVMLError(Exception):
    pass


class NotSupported(NVMLError):
    pass


class FakeNvml:
    NVMLError = NVMLError
    NVMLError_NotSupported = NotSupported
    NVML_TEMPERATURE_GPU = 0
    uuids = ("GPU-aaaa-1", "GPU-bbbb-2", "GPU-cccc-3")

    def nvmlDeviceGetCount(self):
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.uuids[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid == "MIG-dddd":
            return uuid
        raise NVMLError("not found")

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def nvmlDeviceGetUtilizationRates(self, handle):
        if handle.startswith("MIG"):
            raise NotSupported
        return SimpleNamespace(gpu=97)

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(used=5 << 30)

    def nvmlDeviceGetPowerUsage(self, handle):
        return 312_500

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return 61


@pytest.mark.parametrize(
    ("visible", "handles"),
    [
        (None, ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-cccc-3"]),
        ("2,0", ["GPU-cccc-3", "GPU-aaaa-1"]),
        ("GPU-bbbb", ["GPU-bbbb-2"]),
        ("MIG-dddd", ["MIG-dddd"]),
        ("1,-1,2", ["GPU-bbbb-2"]),
        ("0,7,1", ["GPU-aaaa-1"]),
        ("", []),
        ("-1", []),
    ],
)
def test_visible_gpus_are_numbered_as_cuda_does(visible, handles):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert gauge_nvidia._handles(FakeNvml(), environment) == handles


def test_gpu_gauges_have_their_units_and_null_for_what_is_not_supported():
    gpu = gauge_nvidia.GpuSource(FakeNvml(), 1, "GPU-aaaa-1")
    assert dict(zip(gpu.names, gpu.read(), strict=True)) == {
        "gpu.1.util_percent": 97,
        "gpu.1.memory_used_bytes": 5 << 30,
        "gpu.1.power_watts": 312.5,
        "gpu.1.temperature_celsius": 61,
    }
    assert gauge_nvidia.GpuSource(FakeNvml(), 0, "MIG-dddd").read()[0] is None


def test_a_driver_that_fails_in_mid_run_leaves_nulls_not_zeros(journal):
    class Failing(FakeNvml):
        def nvmlDeviceGetMemoryInfo(self, handle):
            raise NVMLError("GPU is lost")

    gauges = Gauges(journal.writer, book=journal.paths.root)
    gauges._open = lambda: [gauge_nvidia.GpuSource(Failing(), 0, "GPU-aaaa-1")]
    gauges.sample()
    (row,) = rows(journal)
    assert set(row.values()) == {None}
    assert journal.said == ["gauge GpuSource: NVMLError: GPU is lost"]
