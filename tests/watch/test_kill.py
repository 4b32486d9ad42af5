"""Watchers and workers that are killed, hang and talk too much; checkpoints that come meanwhile."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.watch.conftest import EVALUATION, Lab

GATED = EVALUATION.replace(
    "x, y = batch",
    """x, y = batch
        if context.step == 2 and not Path(__file__).with_name("opened").exists():
            tell("waiting", os.getpid())
            open(Path(__file__).with_name("gate")).read()""",
)
"""Step 2 stops in the middle until somebody writes into the gate."""


def _gate(lab: Lab) -> Path:
    gate = lab.root / "gate"
    os.mkfifo(gate)
    return gate


def _open_when_reached(gate: Path) -> int:
    """Wait until the worker stands at the gate: opening for writing blocks until then."""
    return os.open(gate, os.O_WRONLY)


def _evaluated(lab: Lab, step: int) -> int:
    return lab.log().count(f"step {step} 7")  # the last, short batch: the evaluation went through


def test_a_killed_watcher_leaves_nothing_to_do_twice(lab: Lab):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    lab.write(GATED)
    gate = _gate(lab)
    first = lab.watch("--policy", "all")
    assert "step 1" in first.line()
    fd = _open_when_reached(gate)
    (worker,) = first.workers()
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    # the worker goes with its watcher: nobody evaluates beside the next one
    _await_end(worker)
    os.close(fd)
    assert sorted(run.metas()) == [1]
    assert len(list(run.paths.leases.iterdir())) == 1
    assert len([path for path in run.paths.pins.iterdir() if path.suffix == ".1"]) == 1

    (lab.root / "opened").touch()
    second = lab.once()
    assert second.returncode == 0, second.stderr
    assert sorted(run.metas()) == [1, 2, 3]
    assert [_evaluated(lab, step) for step in (1, 2, 3)] == [1, 1, 1]
    assert list(run.paths.leases.iterdir()) == []
    assert list(run.paths.pins.iterdir()) == []
    hidden = [path for path in run.paths.evaluations.rglob(".*")]
    assert hidden == []


def test_a_killed_worker_is_replaced_and_its_checkpoint_tried_again(lab: Lab):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    lab.write(GATED)
    gate = _gate(lab)
    watcher = lab.watch("--once", "--policy", "all")
    assert "step 1" in watcher.line()
    fd = _open_when_reached(gate)
    (worker,) = watcher.workers()
    (lab.root / "opened").touch()
    os.kill(worker, signal.SIGKILL)
    os.close(fd)
    done = watcher.finish()
    assert done.returncode == 0, done.stderr
    assert "the worker died: it was killed by SIGKILL" in done.stderr
    assert "trying again" in done.stderr
    assert sorted(run.metas()) == [1, 2, 3]
    assert run.reasons() == []


def test_a_worker_that_always_dies_is_given_up_and_blocks_nobody(lab: Lab):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    lab.write(
        EVALUATION.replace(
            "x, y = batch",
            "x, y = batch\n        if context.step == 3: print('goodbye', flush=True); os._exit(9)",
        )
    )
    done = lab.once()
    assert done.returncode == 1
    assert sorted(run.metas()) == [1, 2]
    (reason,) = run.reasons()
    assert reason["state"] == "failed"
    assert reason["attempts"] == 2
    assert "exited with code 9; its last words: goodbye" in reason["reason"]


def test_a_worker_that_hangs_is_stopped(lab: Lab):
    run = lab.run()
    run.save(2)
    lab.write(GATED)
    _gate(lab)  # nobody ever opens it
    done = lab.once("--timeout", "1")
    assert done.returncode == 1
    (reason,) = run.reasons()
    assert "no end in sight" in reason["reason"]
    assert reason["attempts"] == 2


def test_prints_without_end_are_held_back(lab: Lab):
    run = lab.run()
    run.save(1)
    lab.write(
        EVALUATION.replace(
            "x, y = batch",
            "x, y = batch\n        for n in range(20_000): print('noise \\x1b[2J' + 'x' * 200)",
        )
    )
    done = lab.once()
    assert done.returncode == 0
    assert sorted(run.metas()) == [1]
    assert 0 < done.stderr.count("noise") <= 100
    assert "\x1b" not in done.stderr
    assert "held back" in done.stderr


def test_a_signal_lets_the_work_in_hand_end(lab: Lab):
    run = lab.run()
    run.save(1)
    run.save(2)
    lab.write(GATED)
    gate = _gate(lab)
    watcher = lab.watch()  # newest first: step 2
    fd = _open_when_reached(gate)
    watcher.process.send_signal(signal.SIGINT)
    watcher.said("ending after the evaluation in hand")
    (lab.root / "opened").touch()
    os.close(fd)
    done = watcher.finish()
    assert done.returncode == 0
    assert sorted(run.metas()) == [2]
    assert list(run.paths.leases.iterdir()) == []
    # what waits stays held, for whoever comes next; what was in hand does not
    assert list(run.paths.pins.glob("*.[0-9]*")) == []


def test_what_does_not_end_in_time_is_left_to_the_next(lab: Lab):
    run = lab.run()
    run.save(2)
    lab.write(GATED)
    gate = _gate(lab)
    watcher = lab.watch("--once", "--grace", "0.2")
    fd = _open_when_reached(gate)
    watcher.process.send_signal(signal.SIGTERM)
    assert watcher.finish().returncode == 128 + signal.SIGTERM
    os.close(fd)
    (lease,) = run.paths.leases.iterdir()
    assert json.loads(lease.read_text()) == {"released": True}
    assert run.metas() == {}


def test_a_checkpoint_that_comes_while_watching_is_evaluated_and_two_signals_end_at_once(lab: Lab):
    run = lab.run()
    lab.write(GATED)
    gate = _gate(lab)
    watcher = lab.watch("--poll", "30")  # events alone, after the first look
    watcher.said("ready")
    run.save(1)
    assert "step 1" in watcher.line()
    run.save(2)
    fd = _open_when_reached(gate)
    (worker,) = watcher.workers()
    watcher.process.send_signal(signal.SIGTERM)
    watcher.said("ending after the evaluation in hand")
    watcher.process.send_signal(signal.SIGTERM)
    done = watcher.finish()
    os.close(fd)
    assert done.returncode == 0
    _await_end(worker)
    # what waits stays held, for whoever comes next; what was in hand does not
    assert list(run.paths.pins.glob("*.[0-9]*")) == []
    (lease,) = run.paths.leases.iterdir()
    assert json.loads(lease.read_text()) == {"released": True}


def test_a_watcher_started_first_waits_for_the_book(lab: Lab):
    for path in (lab.book.book_json, lab.book.runs, lab.book.root):
        path.unlink() if path.is_file() else path.rmdir()
    lab.write()
    watcher = lab.watch("--poll", "0.2")
    watcher.said("no book at")
    watcher.said("ready")
    assert not lab.book.root.exists()
    lab.book.runs.mkdir(parents=True)
    run = lab.run()
    run.save(5)
    assert "step 5" in watcher.line()


def test_two_watchers_share_the_work(lab: Lab):
    run = lab.run()
    for step in range(12):
        run.save(step)
    lab.write()
    watchers = [lab.watch("--once", "--poll", "0.2") for _ in range(2)]
    done = [watcher.finish() for watcher in watchers]
    assert [each.returncode for each in done] == [0, 0]
    assert sorted(run.metas()) == list(range(12))
    assert [_evaluated(lab, step) for step in range(12)] == [1] * 12


def _await_stop(pid: int) -> None:
    """Wait for our child to be stopped by a signal."""
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def _await_end(pid: int) -> None:
    """Wait for a process that is not our child to end."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    select.select([fd], [], [])
    os.close(fd)
