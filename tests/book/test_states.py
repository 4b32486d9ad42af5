from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from labbook.book import states
from labbook.book.states import is_alive
from labbook.conditions import machine
from tests.book.making import WRITER

ALIVE = """
    import os, sys
    from pathlib import Path
    from labbook.journal.lock import WriterLock
    from labbook.journal.writer import JournalWriter
    from labbook.paths import RunPaths

    paths = RunPaths(Path(sys.argv[1]))
    lock = WriterLock(paths.lock("r0-abcdef"))
    assert lock.acquire()
    journal = JournalWriter(paths, "r0-abcdef")
    journal.row("series", ("loss",), (1.0,), 0)
    {more}
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def train(make):
    children = []

    def start(more: str = "", **conditions):
        run = make()
        command = [sys.executable, "-c", textwrap.dedent(ALIVE).format(more=more)]
        child = subprocess.Popen(
            [*command, str(run.paths.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        children.append(child)
        run.process(**{"pid": child.pid, **conditions})
        assert child.stdout.readline() == "ready\n"
        return run, child

    yield start
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # and whatever it forked
        child.communicate()


def test_a_run_is_running_until_it_is_killed(train):
    run, child = train()
    reader = run.read()
    assert reader.state.name == "running"
    child.kill()
    child.wait()
    assert reader.refresh()
    assert reader.state.name == "killed"
    assert str(child.pid) in reader.state.why
    assert reader.state.seen_ns is not None


def test_a_killed_process_that_nobody_waited_for_is_killed(train):
    run, child = train()
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert run.read().state.name == "killed"


def test_a_stopped_process_is_running_however_old_its_journal(train):
    run, child = train()
    child.send_signal(signal.SIGSTOP)
    os.utime(run.paths.segment(WRITER, 1), (1, 1))
    assert run.read().state.name == "running"
    child.send_signal(signal.SIGCONT)


def test_a_lock_dropped_by_a_second_open_does_not_make_it_killed(train):
    run, child = train("open(paths.lock('r0-abcdef')).close()")
    assert run.read().state.name == "running"
    os.utime(run.paths.segment(WRITER, 1), (1, 1))
    state = run.read().state
    assert state.name == "unknown"
    assert "without the run's lock" in state.why
    assert "1970-01-01 00:00:01" in state.why
    assert child.poll() is None


def test_workers_that_outlive_a_killed_trainer_do_not_keep_it_alive(train):
    more = "if os.fork() == 0: import time; time.sleep(600); os._exit(0)"
    run, child = train(more)
    child.kill()
    child.wait()
    assert run.read().state.name == "killed"


def test_a_pid_used_again_is_another_process(train):
    run, child = train()
    run.process(pid=os.getpid(), started_ns=1)
    child.kill()
    child.wait()
    assert run.read().state.name == "killed"


@pytest.mark.parametrize(
    "elsewhere", [{"host": "node7"}, {"boot_id": "other"}, {"pid_namespace": "pid:[1]"}]
)
def test_what_cannot_be_known_is_unknown(train, elsewhere):
    run, child = train(**elsewhere)
    child.kill()
    child.wait()
    state = run.read().state
    assert state.name == "unknown"
    assert "no end was recorded" in state.why
    assert "last sign of life" in state.why


INSIDE = """
    import sys
    from pathlib import Path
    from labbook.book.runreader import RunReader
    from labbook.book.seal import seal_dead
    from labbook.paths import RunPaths

    paths = RunPaths(Path(sys.argv[1]))
    print(RunReader(paths).state.name)
    print(*seal_dead(paths).values())
"""


def test_another_pid_namespace_cannot_know_and_never_seals_a_live_writer(train):
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no new pid namespace")
    run, _ = train()

    def inside() -> list[str]:
        command = [*unshare, sys.executable, "-c", textwrap.dedent(INSIDE), str(run.paths.root)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    state, refusal = inside()
    assert state == "unknown"
    assert "wrote within the last minute" in refusal
    os.utime(run.paths.segment(WRITER, 1), (1, 1))  # as one that was stopped for long
    state, refusal = inside()
    assert state == "unknown"
    assert "holds its lock" in refusal
    assert run.paths.segment(WRITER, 1).exists()


def test_sigterm_leaves_its_evidence(train):
    run, child = train()
    run.paths.term(1, WRITER).write_bytes(b"")
    assert run.read().state.name == "running"
    run.paths.term(1, WRITER).write_bytes(b'  File "train.py", line 3')
    assert run.read().state.name == "running"  # it caught the signal, and goes on
    child.kill()
    child.wait()
    assert run.read().state.name == "terminated"


def test_evidence_of_sigterm_counts_on_any_host(make):
    run = make()
    run.process(host="node7")
    run.paths.term(1, WRITER).write_bytes(b"x")
    assert run.read().state.name == "terminated"


@pytest.mark.parametrize(
    ("end", "status", "state", "why"),
    [
        ({"state": "finished"}, None, "finished", "its end was recorded"),
        ({"state": "finished"}, b"\0", "finished", "its end was recorded"),
        ({"state": "finished"}, b"\3", "failed", "exit code 3"),
        ({"state": "failed", "exit_code": 4}, None, "failed", "exit code 4"),
        ({"state": "interrupted"}, b"\x82", "interrupted", "exit code 130"),
        ({"state": "wonderful"}, None, "unknown", "its end says 'wonderful'"),
        (
            {"state": "failed", "exception": {"type": "ValueError", "message": "no"}},
            b"\1",
            "failed",
            "ValueError: no",
        ),
    ],
)
def test_an_end_says_how(make, end, status, state, why):
    run = make()
    run.process()
    run.end(**end)
    if status is not None:
        run.paths.exit_status(1, WRITER).write_bytes(status)
    found = run.read().state
    assert (found.name, found.why) == (state, why)


def test_an_exit_status_alone_says_how(make):
    run = make()
    run.process(pid=None)
    run.paths.exit_status(1, WRITER).write_bytes(b"\3")
    assert run.read().state.name == "failed"
    assert run.read().state.exit_code == 3


def test_the_newest_attempt_decides(make):
    run = make()
    run.process("r0-aaaaaa", 1)
    run.end("r0-aaaaaa", 1, state="failed", exit_code=1)
    run.process("r1-bbbbbb", 2, rank=1)
    run.end("r1-bbbbbb", 2, state="failed", exit_code=1)
    run.process("r0-cccccc", 2)
    run.end("r0-cccccc", 2, state="finished")
    reader = run.read()
    assert reader.state.name == "finished"
    assert reader.summary().attempt == 2
    assert reader.conditions["writer"] == "r0-cccccc"


def test_an_end_that_cannot_be_read_is_named(make):
    run = make()
    run.process()
    run.end()
    path = run.paths.end(1, WRITER)
    path.write_text(path.read_text()[:-5])
    state = run.read().state
    assert state.name == "unknown"
    assert str(path) in state.why


def test_a_run_without_conditions_is_unknown(make):
    assert make().read().state.name == "unknown"


def test_alive_is_about_the_process_not_the_number():
    now = time.time_ns()
    assert is_alive({"pid": os.getpid()}, now) is True
    assert is_alive({"pid": os.getpid()}, 1) is False
    assert is_alive({"pid": 2**22 + 1}, now) is False
    assert is_alive({}, now) is None
    ticks = machine.pid_started()
    assert is_alive({"pid": os.getpid(), "pid_started": ticks}, now) is True
    assert is_alive({"pid": os.getpid(), "pid_started": ticks - 1}, now) is False
    assert is_alive({"pid": 2**22 + 1, "pid_started": ticks}, now) is False


@pytest.mark.parametrize("shift_s", [3600, -3600], ids=["forward", "backward"])
def test_a_clock_that_is_set_neither_kills_a_process_nor_revives_one(monkeypatch, shift_s):
    """Fake: what /proc/stat would say after the wall clock was set by so much."""
    booted_ns = states._booted_ns()
    monkeypatch.setattr(states, "_booted_ns", lambda: booted_ns + shift_s * 10**9)
    mine = {"pid": os.getpid(), "pid_started": machine.pid_started()}
    assert is_alive(mine, time.time_ns()) is True
    earlier = {**mine, "pid_started": mine["pid_started"] - 100}
    assert is_alive(earlier, time.time_ns()) is False
