"""Disks that fill, checkpoints that vanish, events that never come."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.watch.conftest import Here, Lab
from tests.watch.test_kill import _await_stop

Make = Callable[..., Here]
EVENTS = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own with 512 KiB; only root may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no filesystem may be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_no_half_result(lab: Lab, here: Make, small_disk: Path):
    run = lab.run()
    run.save(1)
    run.paths.evaluations.symlink_to(small_disk)
    (small_disk / "filler").write_bytes(b"x" * (508 << 10))
    bench = here()
    [answer] = bench.evaluate().values()
    assert (answer["type"], answer["kind"]) == ("failed", "storage")
    assert "could not be written" in answer["text"]
    assert "No space left" in answer["text"]
    assert not [p for p in small_disk.rglob("*") if p.is_file() and p.name != "filler"]
    (small_disk / "filler").unlink()
    [answer] = bench.evaluate().values()
    assert answer["type"] == "result", answer


def test_a_checkpoint_that_is_removed_between_its_claim_and_its_load(lab: Lab, here: Make):
    run = lab.run()
    path = run.save(1)
    bench = here()
    [job] = bench.state().pending
    path.unlink()
    from labbook.watch.desk import message_of

    bench.bench.take(message_of(job, path))
    assert (bench.answers[-1]["type"], bench.answers[-1]["kind"]) == ("failed", "load")
    assert "was removed" in bench.answers[-1]["text"]
    assert run.results() == []


def test_events_that_overflow_their_queue_are_made_up_for_by_a_look(lab: Lab):
    """The kernel drops what a stopped watcher does not read: that of the checkpoint, too."""
    run = lab.run()
    run.save(1)
    lab.write()
    watcher = lab.watch("--poll", "0.5")
    assert "step 1" in watcher.line()
    os.kill(watcher.process.pid, signal.SIGSTOP)
    _await_stop(watcher.process.pid)
    noise = run.paths.checkpoints / ".noise.tmp"
    for _ in range(EVENTS // 2):  # each is more than two events
        noise.touch()
        noise.unlink()
    run.save(2)
    os.kill(watcher.process.pid, signal.SIGCONT)
    assert "step 2" in watcher.line()
