"""`output="fd"`: what C code and children print is kept, and the program sees its own terminal."""

import os
import pty
import sys

from tests.client.conftest import Script

PRINTS = """
    import os, subprocess, sys, labbook
    run = labbook.start({}, gauges=False, output="fd")
    print("python", os.isatty(1), os.isatty(2))
    sys.stdout.flush()
    os.write(1, b"from C\\n")
    subprocess.run(["echo", "from a child"])
    print("to stderr", file=sys.stderr)
    print("last")
    run.finish()
    print("after")
"""


def kept(script):
    return script.only().output_log.read_bytes().decode()


def test_through_pipes_everything_is_kept_in_order(script):
    done = script.run(PRINTS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "python False False\nfrom C\nfrom a child\nlast\nafter\n"
    assert "to stderr" in done.stderr
    log = kept(script)
    assert [line for line in log.splitlines() if "labbook:" not in line] == [
        line for line in log.splitlines() if line in {"to stderr", *done.stdout.splitlines()[:4]}
    ]
    assert {"python False False", "from C", "from a child", "last", "to stderr"} <= set(
        log.splitlines()
    )
    assert "after" not in log


def test_on_a_terminal_it_stays_a_terminal_and_bytes_are_raw(script):
    path = script.write(PRINTS + '    os.write(1, b"")\n')
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(script.environment())
        os.execv(sys.executable, [sys.executable, str(path)])
    shown = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0, shown
    assert b"python True True\r\n" in shown
    assert b"after\r\n" in shown
    log = script.only().output_log.read_bytes()
    assert b"python True True\n" in log
    assert b"from a child\n" in log
    assert b"\r\n" not in log


def test_a_pump_that_dies_gives_the_descriptors_back(script):
    done = script.run(
        """
        import os, labbook
        run = labbook.start({}, gauges=False, output="fd")
        print("before", flush=True)
        pump = run._output._pump
        pump.kill(); pump.wait()
        run._output.check()
        for _ in range(20000):
            print("x" * 20)
        print("after", flush=True)
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "after"
    assert done.stdout.count("x" * 20) == 20000


def test_a_killed_program_leaves_its_last_words(script):
    done = script.run(
        """
        import os, labbook
        run = labbook.start({}, gauges=False, output="fd")
        os.write(1, b"last words\\n")
        os.kill(os.getpid(), 9)
        """
    )
    assert done.returncode == -9
    assert done.stdout == "last words\n"
    assert "last words\n" in kept(script)


def test_a_stream_that_is_a_file_is_recorded_by_its_path(tmp_path):
    script = Script(tmp_path)
    path = script.write(PRINTS)
    out = tmp_path / "slurm-1.out"
    import subprocess

    with open(out, "wb") as file:
        done = subprocess.run(
            [sys.executable, str(path)],
            env=script.environment(),
            stdout=file,
            stderr=file,
            timeout=50,
            check=False,
        )
    assert done.returncode == 0
    assert "from a child" in out.read_text()
    assert not script.only().output_log.exists()
    import labbook

    events = labbook.open(script.book.root).run(script.only().id).events()
    assert f"stdout goes to {out}" in events["text"].to_pylist()
