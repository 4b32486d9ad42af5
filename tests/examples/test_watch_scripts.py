"""The systemd unit and the Slurm script: as far as they can be tried without either."""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labbook.cli.watching import watch
from tests.watch.conftest import Lab, lab

__all__ = ["lab"]

FOLDER = Path(__file__).parents[2] / "examples/watch"


def test_the_unit_starts_a_watcher_with_options_that_there_are():
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read(FOLDER / "labbook-watch.service")
    words = shlex.split(unit["Service"]["ExecStart"])
    assert words[:3] == ["/usr/bin/env", "labbook", "watch"]
    watch.make_context("watch", words[3:], resilient_parsing=False)
    assert unit["Service"]["KillMode"] == "mixed"
    assert int(unit["Service"]["TimeoutStopSec"]) > 25


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path):
    unit = FOLDER / "labbook-watch.service"
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", unit],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_slurm_script_evaluates_a_group_until_it_is_finished(lab: Lab):
    run = lab.run()
    row = run.paths.run_json.read_text()
    run.paths.run_json.write_text(row.replace('"name"', '"group": "sweep-3", "name"'))
    run.save(1)
    run.end()
    lab.write()
    script = FOLDER / "watch.slurm"
    subprocess.run(["bash", "-n", script], check=True)
    command = lab.root / "bin" / "labbook"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m labbook.cli "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(lab.root),
        "DEVICE": "cpu",
    }
    nobody = subprocess.run(
        ["bash", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (nobody.returncode, "name the group of the runs" in nobody.stderr) == (1, True)
    done = subprocess.run(
        ["bash", script, "sweep-3"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(run.metas()) == [1]
    assert "1 new results, 0 failed" in done.stdout
