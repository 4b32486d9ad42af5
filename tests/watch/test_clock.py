"""A wall clock that jumps while claims are held: who may work on what does not change.

A machine's clock is not for a test to set. The first test fakes the clock of one watcher's
processes (labelled so), the others move the times of real claims, as a file server does whose
clock is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labbook.watch import lease
from tests.watch.conftest import Lab
from tests.watch.test_kill import GATED, _evaluated, _gate, _open_when_reached

DAY_S = 86_400

FAKE_CLOCK = """
import sys, time
shift_ns, real_ns = int(sys.argv.pop(1)) * 10**9, time.time_ns
time.time_ns = lambda: real_ns() + shift_ns
time.time = lambda: time.time_ns() / 1e9
from labbook.cli import main
main()
"""


def _watcher_with_fake_clock(lab: Lab, shift_s: int, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FAKE_CLOCK, str(shift_s), "watch", "evaluation.py", *options],
        cwd=lab.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("shift_s", [DAY_S, -DAY_S], ids=["forward", "backward"])
def test_a_watcher_whose_clock_is_a_day_off_leaves_a_held_claim_alone(lab: Lab, shift_s: int):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    lab.write(GATED)
    gate = _gate(lab)
    first = lab.watch("--policy", "all")
    assert "step 1" in first.line()
    fd = _open_when_reached(gate)
    [held] = run.paths.leases.iterdir()
    other = _watcher_with_fake_clock(lab, shift_s, "--once", "--poll", "0.2")
    try:
        assert other.stdout is not None
        assert "step 3" in other.stdout.readline()
        assert [path.name for path in run.paths.leases.iterdir()] == [held.name]
        (lab.root / "opened").touch()
        os.close(fd)
        assert "step 2" in first.line()
        _, said = other.communicate()
        assert other.returncode == 0, said
    finally:
        other.kill()
        other.communicate()
    assert sorted(run.metas()) == [1, 2, 3]
    assert [_evaluated(lab, step) for step in (1, 2, 3)] == [1, 1, 1]
    assert list(run.paths.leases.iterdir()) == []


def _stamp(path: Path, shift_s: float) -> None:
    """Give a claim the time it would have, had the server's clock been set by so much since."""
    then = path.stat().st_mtime_ns - int(shift_s * 1e9)
    os.utime(path, ns=(then, then))


@pytest.mark.parametrize("shift_s", [3600.0, -3600.0], ids=["forward", "backward"])
def test_a_live_owner_keeps_its_claim_over_a_jump_of_the_servers_clock(
    tmp_path: Path, shift_s: float
):
    held = lease.claim(tmp_path, "k")
    assert held is not None
    _stamp(held.path, shift_s)
    assert held.beat()
    assert lease.claim(tmp_path, "k") is None


@pytest.mark.parametrize("shift_s", [3600.0, -3600.0], ids=["forward", "backward"])
def test_a_silent_owner_elsewhere_loses_its_claim_over_a_jump_of_the_servers_clock(
    tmp_path: Path, shift_s: float
):
    """A claim from the future is never beaten again; it must not hold for as long as the jump."""
    path = tmp_path / "k.1"
    path.write_text(json.dumps({"host": "elsewhere", "boot_id": "x", "pid": 1}))
    assert lease.claim(tmp_path, "k") is None
    _stamp(path, shift_s)
    taken = lease.claim(tmp_path, "k")
    assert taken is not None
    assert taken.generation == 2


def test_a_claim_a_little_ahead_of_the_clock_counts(tmp_path: Path):
    path = tmp_path / "k.1"
    path.write_text(json.dumps({"host": "elsewhere", "boot_id": "x", "pid": 1}))
    _stamp(path, 5.0 - lease.TTL_S)
    assert lease.claim(tmp_path, "k") is None
