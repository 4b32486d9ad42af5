import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labbook.conditions.objects import ObjectReader
from labbook.conditions.snapshot import Limits, take

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


@pytest.fixture
def code(tmp_path):
    """A book's `code.git` and a private cache; `code.take(folder)` takes a snapshot into them."""
    return Code(tmp_path)


class Code:
    def __init__(self, tmp_path):
        self.git = tmp_path / "book" / "code.git"
        self.cache = tmp_path / "cache"
        self.empty = tmp_path / "restored"

    def take(self, folder, **limits):
        """Take a snapshot; where no limit is given there is plenty of time."""
        chosen = Limits(**{"seconds": 50.0, **limits})
        return take(folder, self.git, limits=chosen, private_cache=self.cache)

    def reader(self):
        return ObjectReader(self.git)

    def restore(self, snapshot):
        """Read a snapshot's files back, with those of nested ones: {path: (mode, bytes)}."""
        found = {}
        with ObjectReader(self.git) as reader:
            for file in reader.files(snapshot.tree):
                if file.mode != "160000":
                    found[file.path] = (
                        file.mode,
                        reader.read(snapshot.raw.get(file.path, file.oid)),
                    )
        for path, inner in snapshot.nested.items():
            if inner.tree is not None:
                found |= {f"{path}/{name}": item for name, item in self.restore(inner).items()}
        return found
