"""Claims: one owner at a time, dead and sleeping owners replaced, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labbook.watch import lease
from labbook.watch.clock import Clock, server_now_ns

CLAIM = """
import sys, time
from pathlib import Path
from labbook.watch.lease import claim
got = [key for key in sys.argv[2:] if claim(Path(sys.argv[1]), key)]
print(" ".join(got), flush=True)
sys.stdin.read()
"""


def claimer(folder: Path, *keys: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(folder), *keys],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime_ns - int(seconds * 1e9)
    os.utime(path, ns=(then, then))


def test_a_claim_keeps_others_away_until_it_is_released(tmp_path: Path):
    first = lease.claim(tmp_path, "k")
    assert first is not None
    assert (first.key, first.generation) == ("k", 1)
    assert lease.claim(tmp_path, "k") is None
    assert lease.claim(tmp_path, "other") is not None
    first.release()
    second = lease.claim(tmp_path, "k")
    assert second is not None
    assert second.generation == 2
    assert not first.beat()
    assert second.beat()


def test_each_key_is_claimed_by_exactly_one_of_several_processes(tmp_path: Path):
    keys = [f"key{n}" for n in range(200)]
    claimers = [claimer(tmp_path, *keys) for _ in range(4)]
    claimed = [one.stdout.readline().split() for one in claimers if one.stdout]
    for one in claimers:
        one.communicate("")
    assert sorted(key for each in claimed for key in each) == sorted(keys)


def test_the_claim_of_a_killed_process_is_free_at_once(tmp_path: Path):
    other = claimer(tmp_path, "k")
    assert other.stdout is not None
    assert other.stdout.readline().strip() == "k"
    assert lease.claim(tmp_path, "k") is None
    other.kill()
    other.communicate()
    taken = lease.claim(tmp_path, "k")
    assert taken is not None
    assert taken.generation == 2
    lease.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["k.2"]


def test_a_claim_of_another_host_expires_by_the_servers_clock_only(tmp_path: Path):
    path = tmp_path / "k.1"
    path.write_text(json.dumps({"host": "elsewhere", "boot_id": "x", "pid": 1}))
    assert lease.claim(tmp_path, "k") is None
    age(path, lease.TTL_S - 5)
    assert lease.claim(tmp_path, "k") is None
    age(path, 10)
    assert lease.claim(tmp_path, "k") is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}'])
def test_a_claim_that_says_nothing_counts_until_it_expires(tmp_path: Path, content: bytes):
    path = tmp_path / "k.1"
    path.write_bytes(content)
    assert lease.claim(tmp_path, "k") is None
    age(path, lease.TTL_S + 1)
    assert lease.claim(tmp_path, "k") is not None


def test_a_beat_keeps_a_claim_from_expiring(tmp_path: Path):
    held = lease.claim(tmp_path, "k")
    assert held is not None
    age(held.path, lease.TTL_S + 1)
    assert held.beat()
    assert lease.live(tmp_path) == {"k.1"}


def test_closing_removes_every_generation(tmp_path: Path):
    first = lease.claim(tmp_path, "k")
    assert first is not None
    first.release()
    second = lease.claim(tmp_path, "k")
    assert second is not None
    second.close()
    assert list(tmp_path.iterdir()) == []
    assert not second.beat()


def test_the_clock_leaves_nothing_behind(tmp_path: Path):
    mine = tmp_path / "file"
    mine.touch()
    assert server_now_ns(tmp_path) >= mine.stat().st_mtime_ns - 20_000_000  # one clock tick
    clock = Clock(tmp_path)
    first = clock.now_ns()
    assert clock.now_ns() >= first
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_void_claim_on_what_has_its_result_is_swept_away(tmp_path: Path):
    kept, over = lease.claim(tmp_path, "kept"), lease.claim(tmp_path, "over")
    assert kept is not None
    assert over is not None
    lease.sweep(tmp_path, lambda key: True)
    assert len(list(tmp_path.iterdir())) == 2  # their owner is alive
    over.release()
    kept.release()
    lease.sweep(tmp_path, lambda key: key == "over")
    assert [path.name for path in tmp_path.iterdir()] == [kept.path.name]
