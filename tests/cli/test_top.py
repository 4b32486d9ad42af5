"""`labbook top`: the host now, with a run that is being recorded on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from labbook.cli import main
from labbook.client import gauge_gpu, gauge_nvidia
from labbook.upkeep import host_now
from tests.cli.conftest import environment
from tests.client.fake_nvml import GIB, FakeNvml

LIVE = """
import sys
import labbook
from labbook.client.gauges import Gauges

write, rows = Gauges._row, []

def said(self, names, values):
    write(self, names, values)
    rows.append(names)
    if len(rows) == 3:
        print("ready", flush=True)

Gauges._row = said
run = labbook.start({}, name="live \\x1b[31mone", output=False)
run.log(loss=0.5, step=41)
sys.stdin.read()
"""


def labbook(*arguments: str, book=None):
    words = [arguments[0], *(["--book", str(book)] if book else []), *arguments[1:]]
    return CliRunner().invoke(main, words)


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A book whose one run is being recorded."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "train.py").write_text(LIVE)
    book = folder / "book"
    with subprocess.Popen(
        [sys.executable, "train.py"],
        cwd=folder,
        env={**environment(), "LABBOOK_DIR": str(book)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline().strip() == b"ready"
        yield book, process.pid
        process.communicate()
    assert process.returncode == 0


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(host_now, "RATE_S", 0.02)


def test_the_host_and_its_live_run(live):
    book, pid = live
    found = json.loads(labbook("top", "--once", "--json", book=book).stdout)
    assert found["host"] == os.uname().nodename
    assert 0 <= found["gauges"]["cpu.host_percent"] <= 100
    assert found["gauges"]["memory.host_available_bytes"] < found["memory_bytes"]
    assert sum(disk["has_book"] for disk in found["disks"]) == 1
    assert all(0 <= disk["free_bytes"] <= disk["total_bytes"] for disk in found["disks"])
    (run,) = found["runs"]
    assert (run["pid"], run["step"]) == (pid, 41)
    assert run["gauges"]["memory.rss_bytes"] > 10e6
    assert run["sampled_ms"] > 0


def test_as_text(live):
    book, _ = live
    result = labbook("top", "--once", book=book)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith(os.uname().nodename)
    titles = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert titles == ["Disks", "GPUs", "Runs"]
    assert "the book" in result.output
    assert "live one" in lines[-1]
    assert "\x1b" not in result.output
    assert max(map(len, lines)) <= 100


def test_json_needs_no_once(live):
    assert json.loads(labbook("top", "--json", book=live[0]).stdout)["runs"]


def test_without_live_runs_that_is_said(lab):
    text = lab.labbook("top", "--once").output
    assert f"none of {lab.book} is being recorded on this host" in text


def test_without_a_book_the_host_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LABBOOK_DIR", raising=False)
    result = labbook("top", "--once")
    assert result.exit_code == 0, result.output
    assert "no book is found from here: --book names one" in result.output


def test_a_book_that_is_named_must_be_there(tmp_path):
    result = labbook("top", "--once", book=tmp_path / "none")
    assert result.exit_code == 1
    assert "none" in result.stderr


def test_once_takes_no_run(lab):
    result = labbook("top", "first", "--once", book=lab.book)
    assert result.exit_code == 2
    assert "--once shows the host and all its runs: leave RUN out" in result.stderr


def test_without_a_terminal_it_names_the_way_out(lab):
    result = labbook("top", book=lab.book)
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: no terminal to open the program on: labbook top --once prints\n"
    )


class Terminal:
    def isatty(self):
        return True


def test_on_a_terminal_it_opens_this_machine_or_a_runs(lab, monkeypatch):
    from labbook.cli import terminal, topping

    opened = []
    monkeypatch.setattr(terminal, "open_terminal", lambda *a, **page: opened.append((*a, page)))
    monkeypatch.setattr(topping.sys, "stdin", Terminal())
    monkeypatch.setattr(topping.sys, "stderr", Terminal())
    book = str(lab.book)
    for run in (None, "first"):
        topping.top.callback(book=book, run=run, once=False, as_json=False)
    assert opened == [(book, None, {"page": "host"}), (book, "first", {"page": "machine"})]


# ---------------------------------------------------------------- with a labelled fake of NVML


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml(["GPU-aaaa-1", "GPU-bbbb-2"])
    monkeypatch.setattr(
        gauge_gpu, "any_driver", lambda environment: gauge_nvidia.Nvidia(fake, environment)
    )
    return fake


def test_all_gpus_of_the_host(live, nvml, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    found = json.loads(labbook("top", "--json", book=live[0]).stdout)
    assert [gpu["uuid"] for gpu in found["gpus"]] == nvml.uuids
    first = found["gpus"][0]
    assert (first["index"], first["util_percent"], first["memory_total_bytes"]) == (0, 97, 80 * GIB)
    assert found["gpu_reason"] is None
    text = labbook("top", "--once", book=live[0]).output
    row = next(line for line in text.splitlines() if "gpu.1" in line)
    for word in ("97 %", "5.0 GiB", "80.0 GiB", "312 W", "61 °C", "1980 MHz", "power cap"):
        assert word in row


def test_a_driver_that_fails_is_said(live, nvml):
    import pynvml

    nvml.fail("nvmlInit", pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    found = json.loads(labbook("top", "--json", book=live[0]).stdout)
    assert found["gpus"] == []
    assert "the driver gave an error: " in found["gpu_reason"]
    nvml.mend()
    nvml.fail("*", pynvml.NVML_ERROR_GPU_IS_LOST, "GPU-aaaa-1")
    found = json.loads(labbook("top", "--json", book=live[0]).stdout)
    assert [gpu["util_percent"] for gpu in found["gpus"]] == [None, 97]


def test_a_driver_that_hangs_does_not_hang_us(live, nvml, monkeypatch):
    import threading

    monkeypatch.setattr(host_now, "DRIVER_S", 0.05)
    answer = threading.Event()
    monkeypatch.setattr(nvml, "nvmlInit", answer.wait)
    found = json.loads(labbook("top", "--json", book=live[0]).stdout)
    answer.set()
    assert found["gpus"] == []
    assert "the GPU driver has not answered" in found["gpu_reason"]
