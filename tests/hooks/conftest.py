"""Real repositories, real commits, and trainings that stay alive while git works."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.client.conftest import Script
from tests.conditions.gitrepo import IDENTITY

TRAIN = """
    import labbook
    with labbook.start({}, gauges=False, output=False) as run:
        run.log(loss=1.0)
"""

HANG = """
    import sys, labbook
    with labbook.start({}, name="long", gauges=False, output=False) as run:
        run.log(loss=1.0)
        print("ready", flush=True)
        sys.stdin.read()
"""


class Repository:
    """A repository whose book lies in it; git runs with what a program on a desktop has."""

    def __init__(self, top) -> None:
        self.top = top
        self.script = Script(top)
        self.book = self.script.book

    def git(self, *arguments, check=True, cwd=None, **extra):
        """Git as from a GUI: no virtual environment, the system's PATH, nothing of labbook."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.top,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.top.parent), **IDENTITY}
            | extra,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def head(self, what="HEAD"):
        return self.git("rev-parse", what).stdout.strip()

    def hooks(self, *arguments, status=0, cwd=None):
        """`labbook hooks …`; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "labbook.cli", "hooks", *arguments],
            cwd=cwd or self.top,
            env={k: v for k, v in os.environ.items() if not k.startswith(("LABBOOK_", "GIT_"))},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def write(self, name, text, mode=0o644):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def train(self, code=TRAIN, **environment):
        """Train; returns the new run's id."""
        before = set(self.book.run_ids())
        done = self.script.run(code, **environment)
        assert done.returncode == 0, done.stderr
        (run_id,) = set(self.book.run_ids()) - before
        return run_id

    def commit(self, message="more"):
        """Commit everything; returns what git and the hooks said."""
        self.git("add", "-A")
        return self.git("commit", "-q", "-m", message).stderr


@pytest.fixture
def repository(tmp_path):
    top = tmp_path / "a repository"
    top.mkdir()
    made = Repository(top)
    made.git("init", "-q", "-b", "main")
    made.write("train.py", "first\n")
    made.commit("first")
    return made


@pytest.fixture
def live(repository):
    """Start a training of the code given that runs until the test ends; returns its id."""
    children = []

    def begin(code=HANG):
        before = set(repository.book.run_ids())
        child = repository.script.popen(code)
        children.append(child)
        assert child.stdout.readline() == "ready\n"
        (run_id,) = set(repository.book.run_ids()) - before
        return run_id

    yield begin
    for child in children:
        child.communicate("")
