from __future__ import annotations

import json
import subprocess
import sys

from click.testing import CliRunner

from labbook.cli import main
from labbook.cli.machine import machine_use_lines
from tests.cli.conftest import environment


def test_shows_state_arguments_code_and_series(lab):
    text = lab.labbook("show", "second").stdout
    assert "state     finished" in text
    assert "command   " in text
    assert "lr        0.001" in text
    assert "(from argparse.Namespace 'args' in train.py)" in text
    assert "modified    train.py" in text
    loss = next(line for line in text.splitlines() if line.split()[:1] == ["loss"])
    assert loss.split() == ["loss", "0.011", "99", "0.011", "1.001", "100"]


def test_a_clean_tree_is_said_to_be_clean(lab):
    lines = lab.labbook("show", "first").stdout.splitlines()
    assert lines[lines.index("Code") + 2] == "  clean"


def test_a_failure_is_shown_with_its_traceback_and_without_its_escapes(lab):
    text = lab.labbook("show", "broken").stdout
    assert "state     failed: RuntimeError: out of memory" in text
    assert 'raise RuntimeError("out of' in text
    assert "\x1b" not in text


def test_a_killed_run_says_so_and_keeps_its_values(lab):
    run = json.loads(lab.labbook("show", "gone", "--json").stdout)
    assert run["state"] == "killed"
    assert run["end"] is None
    assert run["series"]["loss"]["count"] == 100


def test_json_is_what_ls_has_and_more(lab):
    run = json.loads(lab.labbook("show", "first", "--json").stdout)
    [listed] = json.loads(lab.labbook("ls", "--json", "--where", "name=first").stdout)
    assert listed.items() <= {**run, "duration_s": listed["duration_s"]}.items()
    assert run["conditions"]["arguments"]["values"]["lr"] == 0.1
    assert run["damage"] == []


def test_an_unknown_run_names_what_comes_close(lab):
    result = lab.labbook("show", "secnd")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no run 'secnd' in ")
    assert "(second)" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_ambiguous_beginning_is_refused(lab):
    result = lab.labbook("show", "2")
    assert result.exit_code == 1
    assert "'2' could be 4 runs" in result.stderr


GPU = {
    "name": "gpu.0",
    "uuid": "GPU-aa",
    "model": "Fake",
    "known_s": 3600.0,
    "mean_util_percent": 86.6,
    "idle_s": 180.0,
    "idle_share": 0.05,
    "peak_memory_bytes": 31 * 2.0**30,
    "peak_process_memory_bytes": None,
    "memory_total_bytes": 80 * 2.0**30,
    "peak_torch_bytes": None,
    "energy_joules": 1.5e6,
    "energy_kind": "integrated",
    "peak_temperature_celsius": 70.0,
    "held_back": {"power cap": 0.351, "power brake": 0.001},
    "ecc_uncorrected": 2.0,
}
USE = {
    "known_s": 3600.0,
    "mean_cpu_percent": 312.4,
    "peak_rss_bytes": 2.0**33,
    "gpus": [GPU, {**GPU, "name": "gpu.1", "held_back": {}, "ecc_uncorrected": None}],
    "energy_kwh": 0.8333,
}


def test_what_a_run_used_of_its_machine_in_words():
    cpu, titles, first, second, together, errors = machine_use_lines(USE)
    assert cpu == "CPU 312 % of a core on average, memory at most 8.0 GiB"
    words = ("busy", "idle", "memory", "of", "energy", "hottest", "held back by")
    assert titles.split() == " ".join(words).split()
    assert first.split("  ")[0] == "gpu.0"
    for word in ("87 %", "3m00s (5 %)", "31.0 GiB", "80.0 GiB", "~0.417 kWh", "70 °C"):
        assert word in first
        assert word in second
    assert first.endswith("power cap 35 %")
    assert together == "all GPUs together 0.833 kWh"
    assert errors == "gpu.0: 2 uncorrected memory errors"


def test_it_fits_80_columns():
    held = {"power cap": 0.9, "temperature (hardware)": 0.5}
    use = {**USE, "gpus": [{**GPU, "held_back": held}]}
    assert max(map(len, machine_use_lines(use, 78))) <= 78


def test_what_was_not_measured_is_a_dash():
    nothing = {**GPU, **dict.fromkeys(set(GPU) - {"name"}), "held_back": {}}
    lines = list(machine_use_lines({**USE, "mean_cpu_percent": None, "gpus": [nothing]}))
    assert lines[0].startswith("CPU not measured")
    assert lines[2].split() == ["gpu.0", *"------"]
    assert list(machine_use_lines(None)) == []


def test_a_run_without_gauges_says_nothing_of_them(lab):
    assert json.loads(lab.labbook("show", "first", "--json").stdout)["machine_use"] is None
    assert "of a core" not in lab.labbook("show", "first").stdout


def test_what_a_real_run_used_is_shown(lab, tmp_path):
    code = """
import labbook
run = labbook.start({}, output=False, book="book")
run._gauges.sample()
run.finish()
"""
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), check=True, timeout=50
    )
    (folder,) = (tmp_path / "book" / "runs").iterdir()
    shown = CliRunner().invoke(main, ["show", "--book", str(tmp_path / "book"), folder.name])
    assert "CPU not measured, memory at most" in shown.stdout
