"""The git hooks, installed into real repositories and run by real commits."""

import os
import stat
import subprocess
import sys

import pytest

import labbook
from tests.client.conftest import Script

TRAIN = """
    import labbook
    with labbook.start({}, gauges=False, output=False) as run:
        run.log(loss=1.0)
"""


def git(folder, *args, **environment):
    plain = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *who, *args],
        cwd=folder,
        env={**plain, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def hooks(script, *args):
    done = subprocess.run(
        [sys.executable, "-m", "labbook.cli", "hooks", *args],
        cwd=script.folder,
        env=script.environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path):
    script = Script(tmp_path)
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(".labbook\n")
    script.write(TRAIN)
    git(tmp_path, "add", ".")
    assert git(tmp_path, "commit", "-qm", "one").returncode == 0
    return script


def test_a_commit_of_what_ran_marks_the_run_as_committed(repository):
    hooks(repository, "install")
    (repository.folder / "train.py").write_text("import labbook\nlabbook.start({}, gauges=False)\n")
    path = repository.folder / "train.py"
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=repository.folder,
        env=repository.environment(),
        capture_output=True,
        timeout=50,
        check=True,
    )
    assert b"dirty" in done.stderr
    book = str(repository.book.root)
    committed = git(repository.folder, "commit", "-qam", "two", LABBOOK_DIR=book)
    assert committed.returncode == 0
    sha = git(repository.folder, "rev-parse", "HEAD").stdout.strip()
    run = labbook.open(repository.book.root).run(repository.only().id)
    assert run.facts.fact("committed")["commit"] == sha
    assert f"committed as {sha[:7]}" in committed.stderr + committed.stdout


def test_a_hook_that_was_there_runs_first_and_comes_back_byte_for_byte(repository):
    own = repository.folder / ".git" / "hooks" / "post-commit"
    own.parent.mkdir(exist_ok=True)
    own.write_text("#!/bin/sh\necho mine >> ran\n")
    own.chmod(own.stat().st_mode | stat.S_IXUSR)
    before = own.read_bytes()
    hooks(repository, "install")
    assert own.read_bytes() != before
    git(repository.folder, "commit", "-q", "--allow-empty", "-m", "two")
    assert (repository.folder / "ran").read_text() == "mine\n"
    hooks(repository, "uninstall")
    assert own.read_bytes() == before
    assert own.stat().st_mode & stat.S_IXUSR


def test_a_commit_works_when_labbook_is_gone(repository):
    hooks(repository, "install")
    hook = repository.folder / ".git" / "hooks" / "post-commit"
    hook.write_text(hook.read_text().replace(sys.executable, "/nowhere/python"))
    repository.run(TRAIN)
    done = git(
        repository.folder,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "two",
        LABBOOK_DIR=str(repository.book.root),
        PATH="/usr/bin:/bin",
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_status_and_uninstall_leave_nothing_behind(repository):
    folder = repository.folder / ".git" / "hooks"
    before = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    hooks(repository, "install")
    assert "post-commit: labbook" in hooks(repository, "status")
    hooks(repository, "uninstall")
    assert sorted(p.name for p in folder.iterdir()) == before
