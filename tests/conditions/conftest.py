import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAD = """\
import json, sys
from labbook.conditions.arguments import find

def report(found):
    print("FOUND " + json.dumps({**found.as_condition(), "unmasked": found.unmasked}))
"""


@pytest.fixture
def program(tmp_path):
    """Run a script of the user's in its own process; returns what `find` found there."""

    def run(source, *arguments, launcher=(), name="train.py"):
        script = tmp_path / name
        script.write_text(HEAD + source)
        out = subprocess.run(
            [sys.executable, *launcher, str(script), *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])},
            check=False,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
        )
        lines = [line for line in out.stdout.splitlines() if "FOUND " in line]
        assert lines, out.stdout + out.stderr
        return json.loads(lines[-1].partition("FOUND ")[2])

    return run


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch):
    """Nobody's own git configuration takes part, and no variable of a git that runs the tests."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
