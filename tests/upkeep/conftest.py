import subprocess
import sys
import textwrap

import pytest

import labbook
from tests.client.conftest import Script


@pytest.fixture
def script(tmp_path):
    return Script(tmp_path)


@pytest.fixture
def recorded(script):
    """A book with one finished run, made by a real training process."""
    done = script.run(
        """
        import labbook
        run = labbook.start({"lr": 0.1}, name="first", tags=["base"], gauges=False)
        for step in range(100):
            run.log(loss=1 / (step + 1), step=step)
        run.finish()
        run._sealer._wait(__import__("time").monotonic() + 30)
        """
    )
    assert done.returncode == 0, done.stderr
    return script


def book_of(script):
    return labbook.open(script.book.root)


def only(script):
    return book_of(script).run(script.only().id)


def cli(script, *args, code=0, **more):
    done = subprocess.run(
        [sys.executable, "-m", "labbook.cli", *args],
        env=script.environment(**more),
        cwd=script.folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


WAITING = textwrap.dedent(
    """
    import sys, labbook
    run = labbook.start({}, gauges=False, output=False)
    run.log(loss=1.0)
    print(run.id, flush=True)
    sys.stdin.readline()
    """
)


@pytest.fixture
def live(script):
    """The id of a run that is being recorded, and its process."""
    path = script.write(WAITING, "live.py")
    process = subprocess.Popen(
        [sys.executable, str(path)],
        env=script.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process.stdout.readline().strip(), process
    process.kill()
    process.communicate()
