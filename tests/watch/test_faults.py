"""Disks that fill, checkpoints that vanish or change, events that never come, workers gone wild."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.watch.conftest import EVALUATION, Here, Lab, net
from tests.watch.test_kill import _await_stop, _gate, _open_when_reached

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


GATED_SETUP = EVALUATION.replace(
    'tell("setup", context.args.width)',
    """if not Path(__file__).with_name("opened").exists():
            open(Path(__file__).with_name("gate")).read()""",
)
"""Claimed and pinned, and not loaded yet: there the first worker stops."""


def test_a_pinned_file_that_is_written_in_place_gives_no_result_of_a_mixture(lab: Lab):
    """The pin is a link, so it changes too: the load notices; what is there now is evaluated."""
    run = lab.run()
    folder = lab.root / "ckpts"
    folder.mkdir()
    path = folder / "step-7.pt"
    run.watch_pattern(os.path.relpath(folder / "*.pt", lab.book.root))
    torch.save(net(seed=1).state_dict(), path)
    lab.write(GATED_SETUP)
    gate = _gate(lab)
    watcher = lab.watch("--once", "--poll", "0.2")
    fd = _open_when_reached(gate)
    inode = path.stat().st_ino
    [pinned] = run.paths.pins.glob("*.1/*")
    assert pinned.stat().st_ino == inode
    torch.save(net(seed=2).state_dict(), path)
    assert path.stat().st_ino == inode
    (lab.root / "opened").touch()
    os.close(fd)
    done = watcher.finish()
    assert done.returncode == 0, done.stderr
    assert "written again" in done.stderr
    [result] = run.results()
    examples = torch.randn(103, 3, generator=torch.Generator().manual_seed(7))
    expected = net(seed=2).eval()(examples)
    assert torch.allclose(_output(result), expected, atol=1e-6)
    assert list(run.paths.pins.iterdir()) == []


def _output(result: Path) -> torch.Tensor:
    import pyarrow.parquet as pq

    return torch.tensor(pq.read_table(result)["output"].to_pylist())


def test_a_worker_that_prints_a_gigabyte_takes_no_memory_and_no_result(lab: Lab):
    run = lab.run()
    run.save(1)
    lab.write(
        EVALUATION.replace(
            "x, y = batch",
            """x, y = batch
        if len(x) == 7:  # the last batch; one line without an end
            for _ in range(1024):
                os.write(1, b"x" * (1 << 20))""",
        )
    )
    watcher = lab.watch()
    assert "step 1" in watcher.line()
    status = Path(f"/proc/{watcher.process.pid}/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    watcher.process.send_signal(signal.SIGTERM)
    done = watcher.finish()
    assert int(peak) < 200 << 10  # kB
    assert len(done.stderr) < 1 << 20
    assert sorted(run.metas()) == [1]


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "os._exit(0)", "os.abort()"])
def test_a_worker_that_exits_is_the_reason_for_its_checkpoint_alone(lab: Lab, end: str):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    ending = f"x, y = batch\n        if context.step == 2: {end}"
    lab.write(EVALUATION.replace("x, y = batch", ending))
    done = lab.once()
    assert done.returncode == 1
    assert sorted(run.metas()) == [1, 3]
    [reason] = run.reasons()
    assert (reason["checkpoint"]["step"], reason["state"]) == (2, "failed")
    assert "SystemExit" in reason["reason"] or "the worker died" in reason["reason"]
