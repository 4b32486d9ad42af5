"""A repository with a book, trainings in it, and labbook's verbs on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import labbook
from tests.conditions.gitrepo import repository

ROOT = Path(__file__).resolve().parents[2]

TRAIN = """\
import argparse, random
import labbook

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
random.seed(args.seed)
run = labbook.start(gauges=None)
for step in range(50):
    run.log(loss=random.random() * args.lr, step=step)
run.finish()
"""


class Lab:
    """A repository whose book is in it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.book = top / ".labbook"

    def train(self, *arguments, script="train.py", cwd=None, **environment):
        """Train; returns the new run's id."""
        before = set(self.ids())
        self.python(script, *arguments, cwd=cwd, **environment)
        (run_id,) = set(self.ids()) - before
        return run_id

    def python(self, *arguments, cwd=None, **environment):
        """Run Python in the repository."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or self.top,
            env={**environment_(), "LABBOOK_DIR": str(self.book), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def ids(self):
        return labbook.open(self.book).ids() if self.book.exists() else []

    def run(self, run_id):
        return labbook.open(self.book).run(run_id)

    def labbook(self, *arguments, **environment):
        """Run a verb in this process."""
        from labbook.cli import main

        arguments = [arguments[0], "--book", str(self.book), *map(str, arguments[1:])]
        return CliRunner().invoke(main, arguments, env=environment)

    def program(self, *arguments, **environment):
        """Run a verb as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "labbook.cli", *map(str, arguments)],
            cwd=self.top,
            env={**environment_(), "LABBOOK_DIR": str(self.book), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def conditions_file(self, run_id):
        (path,) = [
            p
            for p in (self.book / "runs" / run_id).glob("attempts/1/*.json")
            if not p.name.endswith(".end.json")
        ]
        return path

    def spoil(self, run_id, **changes):
        """Change a run's conditions, as the maker of a hostile book would."""
        path = self.conditions_file(run_id)
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def conditions(self, run_id):
        return json.loads(self.conditions_file(run_id).read_text())


def environment_():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABBOOK_")}
    return {**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tui'}"}


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def lab(tmp_path):
    return Lab(repository(tmp_path / "a lab", {"train.py": TRAIN, ".gitignore": "*.ignored\n"}))
