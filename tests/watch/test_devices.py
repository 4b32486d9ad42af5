"""Which GPU a worker gets. The GPUs are fake: this machine has none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from labbook.errors import MisuseError
from labbook.watch.devices import Gpu, Training, choose, parse, visible_gpus

A, B, C = "GPU-aaaa-1", "GPU-bbbb-2", "GPU-cccc-3"


def gpu(uuid: str, free_gib: int, pids: set[int] = frozenset(), name: str = "fake") -> Gpu:
    return Gpu(uuid, name, free_gib << 30, frozenset(pids))


class FakeNvml:
    """NVML of a machine with some GPUs: a fake, in place of `pynvml`."""

    class NVMLError(Exception):
        pass

    def __init__(self, gpus: list[Gpu], is_answering: bool = True) -> None:
        self.gpus = gpus
        self.is_answering = is_answering
        self.is_up = False

    def nvmlInit(self) -> None:
        if not self.is_answering:
            raise self.NVMLError("no driver")
        self.is_up = True

    def nvmlShutdown(self) -> None:
        self.is_up = False

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, handle: Gpu) -> bytes:
        return handle.uuid.encode()

    def nvmlDeviceGetName(self, handle: Gpu) -> str:
        return handle.name

    def nvmlDeviceGetMemoryInfo(self, handle: Gpu) -> SimpleNamespace:
        return SimpleNamespace(free=handle.free_bytes)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Gpu) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid) for pid in handle.pids]


def test_auto_takes_the_freest_gpu_that_does_not_train():
    gpus = [gpu(A, 70), gpu(B, 79, {7}), gpu(C, 40)]
    found = choose("auto", gpus, [Training(7, frozenset({A, B, C}))], [])
    assert (found.name, found.variables) == ("cuda:0", {"CUDA_VISIBLE_DEVICES": A})


def test_a_run_whose_process_nvml_does_not_show_trains_on_all_it_could_use():
    gpus = [gpu(A, 70), gpu(B, 79)]
    assert choose("auto", gpus, [Training(7, frozenset({B}))], []).uuid == A
    everywhere = choose("auto", gpus, [Training(7, frozenset({A, B}))], [])
    assert (everywhere.name, everywhere.why) == ("cpu", "a run trains on every GPU")


def test_two_workers_get_two_gpus():
    gpus = [gpu(A, 70), gpu(B, 60)]
    assert choose("auto", gpus, [], [A]).uuid == B
    assert choose("auto", gpus[:1], [], [A]).uuid == A


def test_auto_without_a_gpu_is_the_cpu():
    assert choose("auto", None, [], []).name == "cpu"
    assert choose("auto", [], [], []).why == "no GPU"


def test_a_number_becomes_a_uuid_where_it_means_the_same_to_cuda(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    alike, unlike = [gpu(A, 1), gpu(B, 1)], [gpu(A, 1), gpu(B, 1, name="another fake")]
    assert choose("cuda:1", alike, [], []).variables == {"CUDA_VISIBLE_DEVICES": B}
    assert choose("cuda:1", unlike, [], []).variables == {}  # CUDA may count them otherwise
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert choose("cuda:1", unlike, [], []).uuid == B
    assert choose("cuda:9", alike, [], []).name == "cuda:9"  # torch says that it is not there
    assert choose("cuda:1", None, [], []).name == "cuda:1"
    assert choose("GPU-bbbb", alike, [], []).uuid == B
    assert choose("cpu", alike, [], []).variables == {}


def test_nvml_is_asked_for_the_visible_gpus(monkeypatch):
    nvml = FakeNvml([gpu(A, 10, {3}), gpu(B, 20), gpu(C, 30)])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert visible_gpus(nvml) == [gpu(C, 30), gpu(A, 10, {3})]
    assert not nvml.is_up
    assert visible_gpus(FakeNvml([], is_answering=False)) is None


def test_what_is_no_device_is_said():
    assert parse("cuda:1, auto") == ["cuda:1", "auto"]
    with pytest.raises(MisuseError, match=r"--device must be cpu, auto.*'gpu7'"):
        parse("cpu,gpu7")
