"""Every way a training ends, with real processes: what is on disk and which state it reads as."""

import os
import signal
import subprocess
import sys

import pytest

import labbook
from labbook.client.recording import FINISH_S
from tests.client.conftest import end_of, journal_rows

SCRIPT = """
    import os, signal, sys, threading, time
    import labbook

    def main(how):
        run = labbook.start({}, gauges=False)
        for step in range(50):
            run.log(loss=step / 2, step=step)
        if how == "raise":
            raise ValueError("lr is too high")
        if how == "exit":
            sys.exit(3)
        if how == "systemexit":
            raise SystemExit(4)
        if how == "exit 0":
            sys.exit(0)
        if how == "_exit":
            os._exit(0)
        if how == "finish, then raise":
            run.finish()
            raise ValueError("not the run's")
        if how == "with":
            with run:
                raise KeyError("inside")
        if how == "fork and exit":
            child = os.fork()
            if child == 0:
                sys.exit(9)
            os.waitpid(child, 0)
        if how.startswith("wait"):
            print("ready", flush=True)
            if how == "wait in C":
                import select
                threading.Event().wait(50)
            time.sleep(50)

    main(sys.argv[1])
"""


def state_of(script):
    return labbook.open(script.book.root).run(script.only().id).state


def steps_of(script):
    return labbook.open(script.book.root).run(script.only().id).series("loss")["step"].to_pylist()


@pytest.mark.parametrize(
    ("how", "code", "state", "why"),
    [
        ("normal", 0, "finished", ""),
        ("exit 0", 0, "finished", ""),
        ("raise", 1, "failed", "ValueError: lr is too high"),
        ("exit", 3, "failed", "exit code 3"),
        ("systemexit", 4, "failed", "exit code 4"),
        ("with", 1, "failed", "KeyError: 'inside'"),
        ("finish, then raise", 1, "finished", ""),
        ("fork and exit", 0, "finished", ""),
        ("_exit", 0, "killed", "no end was recorded"),
    ],
)
def test_an_end_of_the_programs_own(script, how, code, state, why):
    done = script.run(SCRIPT, how)
    assert done.returncode == code, done.stderr
    found = state_of(script)
    assert (found.name, why in found.why) == (state, True), found
    assert steps_of(script) == list(range(50))


def test_an_exception_is_recorded_with_its_traceback(script):
    script.run(SCRIPT, "raise")
    exception = end_of(script.only())["exception"]
    assert exception["type"] == "ValueError"
    assert exception["message"] == "lr is too high"
    assert 'raise ValueError("lr is too high")' in exception["traceback"]


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGKILL, "killed"),
    ],
)
def test_an_end_by_signal(script, number, state):
    process = script.popen(SCRIPT, "wait")
    assert process.stdout.readline() == "ready\n"
    assert state_of(script).name == "running"
    process.send_signal(number)
    process.communicate(timeout=30)
    assert state_of(script).name == state
    assert steps_of(script) == list(range(50))


def test_sigterm_inside_one_long_c_call_leaves_its_evidence(script):
    """`sum` over a range holds the interpreter for hours: no Python handler could run."""
    process = script.popen(
        """
        import labbook
        run = labbook.start({}, gauges=False)
        run.log(loss=1.0)
        print("ready", flush=True)
        sum(range(10**12))
        """
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert state_of(script).name == "terminated"


def test_a_handler_of_the_users_own_still_runs_on_sigterm(script):
    process = script.popen(
        """
        import signal, sys, time, labbook
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        run = labbook.start({}, gauges=False)
        run.log(loss=1.0)
        print("ready", flush=True)
        time.sleep(50)
        """
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert state_of(script).name == "finished"


def test_a_stopped_process_is_not_killed(script):
    process = script.popen(SCRIPT, "wait")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    journal = script.only().journal
    for file in journal.iterdir():  # as if it had been stopped an hour ago
        os.utime(file, (0, 0))
    assert state_of(script).name == "running"
    process.kill()
    process.communicate()
    assert state_of(script).name == "killed"


def test_a_worker_that_outlives_the_killed_trainer_does_not_keep_it_alive(script):
    process = script.popen(
        """
        import os, time, labbook
        run = labbook.start({}, gauges=False)
        run.log(loss=1.0)
        worker = os.fork()
        if worker == 0:
            run.log(loss=9.0)
            time.sleep(50)
            os._exit(0)
        print(worker, flush=True)
        time.sleep(50)
        """
    )
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        os.kill(worker, 0)
        assert state_of(script).name == "killed"
        assert len(journal_rows(script.only())) == 1
    finally:
        os.kill(worker, signal.SIGKILL)
        process.stdin.close()
        process.stdout.close()
        process.stderr.close()


def test_sigterm_to_a_worker_is_no_evidence_about_its_parent(script):
    process = script.popen(
        """
        import os, signal, time, labbook
        run = labbook.start({}, gauges=False)
        run.log(loss=1.0)
        up, told = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.write(told, b"up")
            time.sleep(50)
        os.read(up, 2)
        os.kill(worker, signal.SIGTERM)
        print(os.waitpid(worker, 0)[1], flush=True)
        time.sleep(50)
        """
    )
    assert process.stdout.readline() == f"{int(signal.SIGTERM)}\n"
    process.kill()
    process.communicate()
    assert state_of(script).name == "killed"


def test_a_full_disk_at_the_end_still_ends_the_process(script):
    """A file-size limit of nothing: not even end.json can be written."""
    done = script.run(
        """
        import resource, labbook
        run = labbook.start({}, gauges=False)
        run.log(loss=1.0)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
        run.log(loss=2.0)
        print("trained to the end")
        """
    )
    assert done.returncode == 0
    assert done.stdout == "trained to the end\n"
    assert "Training goes on" in done.stderr
    assert "Traceback" not in done.stderr


def test_finish_hands_the_end_over_when_the_sealer_hangs(script, monkeypatch):
    """The sealing child is replaced by one that never ends; the exit does not wait for it."""
    done = script.run(
        f"""
        import time, labbook
        from labbook.client import sealing
        sealing._PROGRAM = "import time; time.sleep(300)"
        run = labbook.start({{}}, gauges=False)
        run.log(loss=1.0)
        began = time.monotonic()
        run.finish()
        assert time.monotonic() - began < 5 * {FINISH_S}
        child = run._sealer._child
        assert child is not None and child.poll() is None
        child.kill()
        child.wait()
        """
    )
    assert done.returncode == 0, done.stderr
    assert state_of(script).name == "finished"
    assert steps_of(script) == [0]


def test_interpreters_that_share_a_folder_never_share_a_file(script):
    path = script.write(SCRIPT)
    processes = [
        subprocess.Popen(
            [sys.executable, str(path), "normal"],
            env=script.environment(LABBOOK_RUN_ID="20260101-000000-shared"),
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    for process in processes:
        process.communicate(timeout=50)
    run = script.only()
    writers = {file.name.partition(".")[0] for file in run.attempts.glob("*/r0-*.json")}
    assert len(writers) == 4
    assert sorted(int(f.name) for f in run.attempts.iterdir()) == [1, 2, 3, 4]


def test_what_fails_beside_the_run_keeps_nothing_else_from_ending(start, capsys):
    """One broken part is counted: the others are closed, and how the run ended is on disk."""
    run, closed = start(), []

    def broken(*_):
        raise RuntimeError("gone")

    run._ticking += [broken, lambda: closed.append("tick")]
    run._closing += [broken, lambda seconds: closed.append("close")]
    run._tick()
    run.finish()
    assert closed[0] == "tick"  # the run's own thread may have come by too
    assert closed[-1] == "close"
    assert run.faults["beside"] >= 2
    assert end_of(run.paths)["state"] == "finished"
    assert capsys.readouterr().err.count("gone") == 1
