import json
import os
import random
import subprocess
import sys

import pytest

from labbook.conditions import environment, gpus, machine, packages, seeds
from labbook.errors import MisuseError


def test_the_machine_is_this_one():
    found = machine.describe()
    assert found["system"] == os.uname().sysname
    assert found["cores"] == os.cpu_count()
    assert found["memory_bytes"] > 2**20
    assert machine.host() == os.uname().nodename
    json.dumps(found)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_boot_and_namespace_are_those_of_any_process_here():
    code = "from labbook.conditions import machine as m; print(m.boot_id(), m.pid_namespace())"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.split() == [machine.boot_id(), machine.pid_namespace()]
    assert machine.pid_namespace().startswith("pid:[")


@pytest.mark.skipif(gpus.driver_is_loaded(), reason="this machine has a GPU")
def test_without_a_driver_nvml_is_not_even_imported():
    code = (
        "import sys; from labbook.conditions import gpus; d = gpus.describe();"
        "assert 'pynvml' not in sys.modules and 'ctypes' not in sys.modules; print(d['gpu_reason'])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == gpus.NO_DRIVER


@pytest.mark.gpu
def test_gpus_by_uuid():
    found = gpus.describe()
    assert found["gpus"]
    assert found["gpus"][0]["uuid"].startswith(("GPU-", "MIG-"))
    assert found["gpu_reason"] is None


UUIDS = ["GPU-aa11", "GPU-bb22", "GPU-bb33"]


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        ("0, 1", [0, 1]),
        ("1,-1,0", [1]),
        ("0,7,1", [0]),
        ("0,0", []),
        ("GPU-aa", [0]),
        ("GPU-bb", []),
        ("GPU-bb33,GPU-aa11", [2, 0]),
        ("nonsense", []),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(setting, left):
    assert gpus.visible(UUIDS, setting) == left


def test_packages_from_the_names_of_folders(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (
        first / "Some_Thing-1.0.dist-info",
        first / "~broken-9.dist-info",
        first / "egg-2.0-py3.11.egg-info",
        first / "local.version-1.0+cu12.dist-info",
        second / "some.thing-2.0.dist-info",
        second / "dev.egg-info",
        second / "no_version.egg-info",
    ):
        folder.mkdir(parents=True)
    (second / "dev.egg-info/PKG-INFO").write_text("Metadata-Version: 2.1\nVersion: 0.3.dev1\n")
    assert packages.installed([str(first), str(second), str(tmp_path / "gone"), __file__]) == {
        "some-thing": "1.0",
        "egg": "2.0",
        "local-version": "1.0+cu12",
        "dev": "0.3.dev1",
        "no-version": "unknown",
    }


def test_packages_agree_with_importlib_metadata():
    from importlib import metadata

    found = packages.installed()
    assert found["pytest"] == metadata.version("pytest")
    assert found["numpy"] == metadata.version("numpy")


def test_the_environment_by_allow_list():
    given = {
        "CUDA_VISIBLE_DEVICES": "0",
        "OMP_NUM_THREADS": "1",
        "HOME": "/home/me",
        "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz",
        "SLURM_JOB_ID": "7",
        "SLURM_JWT_TOKEN": "0123456789abcdef",
        "LABBOOK_NOTE": "key ghp_0123456789abcdefghijklmnopqrstuvwxyz",
    }
    assert environment.record(given) == {
        "CUDA_VISIBLE_DEVICES": "0",
        "LABBOOK_NOTE": "key ***",
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "7",
        "SLURM_JWT_TOKEN": "***",
    }


def test_digests_tell_states_apart_and_draw_nothing():
    numpy, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    kept = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    try:
        seeds.seed(7)
        first = seeds.states()
        assert seeds.states() == first
        draws = random.random(), numpy.random.rand(), torch.rand(1).item()
        second = seeds.states()
        for name in ("python", "numpy", "torch"):
            assert first[name] != second[name]
        assert first["torch_initial_seed"] == 7
        result = seeds.seed(7)
        assert result == {"seed": 7, "seeded": ["python", "numpy", "torch"], "not_imported": []}
        assert seeds.states() == first
        assert (random.random(), numpy.random.rand(), torch.rand(1).item()) == draws
        seeds.seed(2**62)  # more than numpy takes
    finally:
        random.setstate(kept[0])
        numpy.random.set_state(kept[1])
        torch.set_rng_state(kept[2])


def test_seeding_imports_nothing_and_says_what_it_left():
    code = (
        "import sys; from labbook.conditions import seeds; r = seeds.seed(1, deterministic=True);"
        "assert not {'numpy', 'torch'} & sys.modules.keys(); print(r['not_imported'])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "['numpy', 'torch']"


def test_deterministic_switches():
    pytest.importorskip("torch")
    code = (
        "import torch; from labbook.conditions import seeds; r = seeds.seed(1, deterministic=True);"
        "assert torch.are_deterministic_algorithms_enabled();"
        "assert torch.backends.cudnn.deterministic;"
        "print(r['deterministic']['CUBLAS_WORKSPACE_CONFIG'])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == ":4096:8"


@pytest.mark.parametrize("wrong", [-1, 2**63, 1.0, True, "1", None])
def test_a_seed_is_a_number_that_every_generator_takes(wrong):
    with pytest.raises(MisuseError, match=r"seed must be an integer from 0 to 2\*\*63 - 1"):
        seeds.seed(wrong)
