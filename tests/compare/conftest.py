"""Real trainings in a real repository, with one book."""

import os
import re

import pytest
from click.testing import CliRunner

from labbook.book.reading import Book
from labbook.cli import main
from tests.client.conftest import Script
from tests.conditions.gitrepo import git, write

TRAIN = """
import argparse
import labbook
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--layers", type=int, default=2)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
run = labbook.start(seed=args.seed, gauges=None, output=False)
chosen = run.choose(np.arange(40.0).reshape(20, 2), n=8)
for step in range(4):
    run.log(loss=1 / (step + 1) + args.lr, step=step)
    chosen.record(step, loss=np.arange(8.0) * args.lr + step)
"""


class Project(Script):
    """A repository whose one commit has `train.py`."""

    def __init__(self, folder, *, with_git=True):
        super().__init__(folder)
        write(folder / "train.py", TRAIN)
        if with_git:
            git(folder, "init", "-q", "-b", "main")
            self.commit()

    def commit(self, message="first"):
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "-m", message)

    def train(self, *arguments, code=None, **environment):
        """Run the training; returns the id of the run it made."""
        before = set(self.book.run_ids())
        path = self.folder / "train.py"
        done = self.run(code or path.read_text(), *arguments, **environment)
        assert done.returncode == 0, done.stderr
        (made,) = set(self.book.run_ids()) - before
        return made

    def edit(self, name, content):
        write(self.folder / name, content)

    def reader(self, run_id):
        return Book(self.book).run(run_id)

    def conditions(self, run_id):
        """The conditions file of a run, to be spoilt."""
        folder = self.book.run(run_id).attempts / "1"
        (path,) = [p for p in folder.glob("r0-*.json") if not p.name.endswith(".end.json")]
        return path

    def labbook(self, *arguments):
        result = CliRunner().invoke(main, ["--book", str(self.book.root), *arguments])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
