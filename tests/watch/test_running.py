"""Running the watcher: which runs, how many workers, until when, and who sees what it does."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pyte
import pytest

from labbook.book.watchers import read_watchers
from labbook.conditions import machine
from tests.on_terminal import on_terminal
from tests.watch.conftest import EVALUATION, Lab, Run, Watcher
from tests.watch.test_kill import GATED

MINI = EVALUATION.replace("batch_size=32", "batch_size=32, mini=10, full_every=100")
TOGETHER = EVALUATION.replace(
    "x, y = batch",
    """x, y = batch
        import time
        tell("begun", context.step)
        while len({line for line in LOG.read_text().splitlines() if "begun" in line}) < 2:
            time.sleep(0.01)""",
)
"""Each evaluation waits for another one to begin."""


def _await_line(watcher: Watcher, run: Run, words: str) -> None:
    """Read what the watcher prints up to the line that has `words` of this run."""
    line = watcher.line()
    while not (run.paths.id in line and words in line):
        assert line, f"it ended without {words} of {run.paths.id}"
        line = watcher.line()


def _began(run: Run, pid: int, **more: object) -> None:
    """Say in its conditions that a run is the process `pid` of this host."""
    (path,) = (run.paths.attempts / "1").glob("*.json")
    who = {
        "host": machine.host(),
        "boot_id": machine.boot_id(),
        "pid_namespace": machine.pid_namespace(),
        "pid": pid,
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), **who, **more}))


def _dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_two_workers_work_at_once(lab: Lab):
    run = lab.run()
    run.save(1)
    run.save(2)
    lab.write(TOGETHER)
    done = lab.once("--workers", "2")
    assert done.returncode == 0, done.stderr
    assert sorted(run.metas()) == [1, 2]
    assert lab.log().count("setup 4") == 2


def test_a_killed_worker_leaves_the_other_alone(lab: Lab):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    lab.write(GATED)
    gate = lab.root / "gate"
    os.mkfifo(gate)
    watcher = lab.watch("--once", "--workers", "2")
    fd = os.open(gate, os.O_WRONLY)  # a worker stands in step 2
    (worker,) = (line.split()[1] for line in lab.log() if line.startswith("waiting"))
    assert {watcher.line().split("step ")[1][0] for _ in range(2)} == {"1", "3"}
    (lab.root / "opened").touch()
    os.kill(int(worker), signal.SIGKILL)
    os.close(fd)
    done = watcher.finish()
    assert done.returncode == 0, done.stderr
    assert "the worker died: it was killed by SIGKILL" in done.stderr
    assert sorted(run.metas()) == [1, 2, 3]
    assert list(run.paths.leases.iterdir()) == list(run.paths.pins.iterdir()) == []


def test_two_files_are_one_watcher_and_do_not_count_for_each_other(lab: Lab):
    run = lab.run()
    run.save(1)
    lab.write()
    lab.write(EVALUATION.replace("class Validation", "class Other"), "other.py")
    options = ("evaluation.py", "other.py", "--code", "current")
    assert "2 new results" in lab.once(*options).stdout
    assert sorted(run.metas("other")) == sorted(run.metas()) == [1]
    lab.write(EVALUATION.replace("class Validation", "class Other") + "# changed\n", "other.py")
    assert "1 new results" in lab.once(*options).stdout
    assert (len(run.results()), len(run.results("other"))) == (1, 2)

    lab.write(EVALUATION, "other.py")
    done = lab.once(*options)
    assert done.returncode == 1
    assert "evaluation.py and other.py both have an evaluation called 'validation'" in done.stderr


def test_two_watchers_with_different_code_make_a_result_each_and_show_says_so(lab: Lab):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    files = []
    for place, factor in (("one", "1.0"), ("other", "2.0")):
        (lab.root / place).mkdir()
        text = EVALUATION.replace('"loss": F', f'"loss": {factor} * F')
        files.append(lab.write(text, f"{place}/evaluation.py"))
    watchers = [lab.watch(str(file), "--once", "--poll", "0.2") for file in files]
    done = [watcher.finish() for watcher in watchers]
    assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]
    assert [each.stdout.count("step ") for each in done] == [3, 3]
    metas = [json.loads(pq.read_schema(p).metadata[b"labbook"]) for p in run.results()]
    assert len({meta["key"] for meta in metas}) == 6
    losses: dict[int, dict[str, float]] = {}
    for meta in metas:
        at = losses.setdefault(meta["checkpoint"]["step"], {})
        at[meta["code"]["key_digest"]] = meta["metrics"]["loss"]
    for two in losses.values():
        small, large = sorted(two.values())
        assert large == pytest.approx(2 * small)
    shown = lab.labbook("show", run.paths.id).stdout
    assert "validation: made with 2 codes, which differ in evaluation.py: not comparable" in shown


def test_only_the_runs_of_a_group(lab: Lab):
    inside, outside = lab.run(1), lab.run(2)
    row = json.loads(inside.paths.run_json.read_text())
    inside.paths.run_json.write_text(json.dumps({**row, "group": "sweep"}))
    for run in (inside, outside):
        run.save(1)
    lab.write()
    assert lab.once("--group", "sweep").returncode == 0
    assert (len(inside.results()), len(outside.results())) == (1, 0)


def test_until_finished_stays_as_long_as_a_run_is_live(lab: Lab):
    run, killed = lab.run(1), lab.run(2)
    _began(run, os.getpid(), started_ns=time.time_ns())
    _began(killed, _dead())
    run.save(1)
    for step in (1, 2):
        killed.save(step, seed=step + 10)
    lab.write(MINI)
    watcher = lab.watch("--until", "finished", "--poll", "0.2")
    _await_line(watcher, run, "step 1")
    run.save(2)
    _await_line(watcher, run, "step 2")
    run.end()
    done = watcher.finish()
    assert done.returncode == 0, done.stderr
    for each in (run, killed):  # the last one in full, though nobody wrote that a run was killed
        metas = [json.loads(pq.read_schema(p).metadata[b"labbook"]) for p in each.results()]
        made = {(meta["checkpoint"]["step"], meta["subset"]) for meta in metas}
        # the first in full only where it is the best on the mini set
        assert made - {(1, "full")} == {(1, "mini"), (2, "mini"), (2, "full")}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(lab: Lab):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    bad = run.save(4)
    lab.write()
    lab.once("--policy", "every=2")
    os.truncate(bad, 100)
    before = _files(lab.book.root)
    done = lab.watch("--dry-run").finish()
    assert done.returncode == 0
    told = done.stdout.splitlines()
    assert told[0] == f"{run.paths.id} probe"
    assert told[1:4] == [
        "  checkpoints/step-1.pt  validation: to evaluate",
        "  checkpoints/step-2.pt  validation: has its result",
        "  checkpoints/step-3.pt  validation: to evaluate",
    ]
    assert told[4].startswith("  checkpoints/step-4.pt  incomplete: ")
    assert told[5] == "2 to evaluate, 2 not; nothing was evaluated or written"
    assert _files(lab.book.root) == before
    assert len(run.results()) == 2


def _status(lab: Lab, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "labbook.cli", "watch", "status", *options],
        cwd=lab.root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_status_says_from_elsewhere_what_is_done(lab: Lab):
    run = lab.run()
    run.save(2)
    run.save(1)
    lab.write(GATED)
    gate = lab.root / "gate"
    os.mkfifo(gate)
    assert "no watcher is running" in _status(lab)
    watcher = lab.watch("--poll", "0.1")
    fd = os.open(gate, os.O_WRONLY)  # the worker stands in step 2
    while not (found := read_watchers(lab.book)) or found[0].workers[0].step != 2:
        assert watcher.process.poll() is None
        time.sleep(0.01)
    (told,) = json.loads(_status(lab, "--json"))
    assert (told["state"], told["pid"], told["is_stale"]) == (
        "watching",
        watcher.process.pid,
        False,
    )
    assert told["evaluations"] == ["validation"]
    (worker,) = told["workers"]
    assert (worker["run"], worker["step"], worker["device"]) == (run.paths.id, 2, "cpu")
    assert (told["n_pending"], told["n_results"]) == (1, 1)
    assert "cpu: probe step 2 validation" in _status(lab)
    watcher.process.send_signal(signal.SIGKILL)
    watcher.process.wait()
    os.close(fd)
    assert f"stale (its process {watcher.process.pid} is gone)" in _status(lab)


def test_a_watcher_that_ends_leaves_no_status(lab: Lab):
    lab.run().save(1)
    lab.write()
    lab.once()
    assert list(lab.book.watchers.iterdir()) == []


def test_a_status_from_elsewhere_is_stale_when_it_is_old(lab: Lab):
    lab.book.watchers.mkdir()
    path = lab.book.watchers / "gpu7-12.json"
    path.write_text('{"format": 1, "host": "gpu7", "pid": 12, "state": "watching", "workers": 3}')
    (lab.book.watchers / "gpu8-1.json").write_text("[]")
    now = path.stat().st_mtime_ns
    (fresh,) = read_watchers(lab.book, now)
    assert (fresh.state, fresh.workers, fresh.n_pending) == ("watching", [], None)
    (old,) = read_watchers(lab.book, now + 90 * 10**9)
    assert (old.state, old.why) == ("stale", "not heard from for 90 s")


def test_on_a_terminal_results_scroll_by_and_nothing_is_left_over(lab: Lab):
    run = lab.run()
    for step in range(3):
        run.save(step)
    lab.write()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "labbook.cli", "watch", "--once"],
        cwd=lab.root,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    os.close(theirs)
    raw = b""
    try:
        while part := os.read(ours, 4096):
            raw += part
    except OSError:
        pass  # Linux ends a terminal without writers with EIO
    os.close(ours)
    assert process.wait() == 0
    screen = pyte.Screen(200, 24)
    pyte.ByteStream(screen).feed(raw)
    rows = [row.rstrip() for row in screen.display if row.strip()]
    assert rows[0].startswith("labbook watch: ready: validation on cpu")
    assert sum("  step " in row for row in rows) == 3
    assert rows[-1] == "3 new results, 0 failed"
    assert b"starting on cpu" in raw  # it was drawn
    assert raw.count(b"\x1b[?") == 0  # and no mode of the terminal was touched


def test_on_a_terminal_results_fit_its_width_and_in_a_pipe_they_are_one_line(lab: Lab):
    run = lab.run(name="a run with a name of some length")
    run.save(1)
    lab.write()
    words = [sys.executable, "-m", "labbook.cli", "watch", "--once"]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    lines = on_terminal(words, cwd=lab.root, environment=path, columns=72)
    assert all(len(line) <= 72 or len(line.split()) == 1 for line in lines)  # paths stay whole
    place = next(n for n, line in enumerate(lines) if line.startswith(run.paths.id))
    assert lines[place + 1].startswith("  ")
    assert "loss " in lines[place] + lines[place + 1]
    run.save(2)
    (result,) = [line for line in lab.once().stdout.splitlines() if "step 2" in line]
    assert "loss " in result
    assert len(result) > 100


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--device", "gpu7"), "--device must be cpu, auto, cuda"),
        (("--until", "tomorrow"), "'tomorrow' is not 'finished'"),
        (("--code", "new"), "'new' is not one of 'run', 'current'"),
        (("--workers", "0"), "0 is not in the range"),
    ],
)
def test_wrong_use_is_said(lab: Lab, options: tuple[str, ...], text: str):
    done = lab.once(*options)
    assert done.returncode == 2
    assert text in done.stderr


LEAKING = EVALUATION.replace(
    "x, y = batch",
    """x, y = batch
        held.append(bytearray(os.urandom(1)) * (64 << 20))""",
).replace("def tell", "held = []\n\ndef tell", 1)
"""Keeps 64 MiB more of memory with every batch."""


def test_a_worker_that_leaks_is_replaced_between_two_evaluations(lab: Lab):
    run = lab.run()
    for step in (1, 2, 3):
        run.save(step)
    lab.write(LEAKING)
    done = lab.once("--max-rss", "300MiB", "--policy", "all")
    assert done.returncode == 0, done.stderr
    assert sorted(run.metas()) == [1, 2, 3]
    assert run.reasons() == []
    assert "(limit 300 MiB): a fresh one takes over" in done.stderr
    assert sum(line.startswith("setup") for line in lab.log()) == 3
    assert all(meta.get("attempts", 1) == 1 for meta in run.metas().values())


def test_sizes_are_read_as_they_are_written(lab: Lab):
    lab.write()
    done = lab.once("--max-rss", "much")
    assert done.returncode == 2
    assert "expected a size such as 20GB or 512MiB, got 'much'" in done.stderr
