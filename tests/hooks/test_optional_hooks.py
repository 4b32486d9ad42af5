"""The git hooks one asks for: pre-commit, prepare-commit-msg, pre-push."""

import subprocess
import sys

import pytest

from tests.conditions.gitrepo import git
from tests.hooks.conftest import HANG, TRAIN

SAID = (
    "labbook: the code here is not what long ({}), still running, began with. What it has not "
    "imported yet will be imported as it is now\n"
)


# -- pre-commit


def test_a_commit_of_other_code_than_a_live_runs_is_warned_of_and_made(repository, live):
    repository.hooks("install", "--with", "pre-commit")
    repository.write("lazy.py", "x = 1\n")
    repository.script.write(HANG)
    repository.commit()
    run_id = live()
    repository.write("lazy.py", "x = 2\n")
    before = repository.head()
    assert repository.commit() == SAID.format(run_id)
    assert repository.head() != before


def test_a_commit_of_exactly_what_a_live_run_runs_is_not(repository, live):
    repository.hooks("install", "--with", "pre-commit")
    repository.write("new.py", "x = 1\n")
    run_id = live()
    said = repository.commit()
    assert "still running" not in said
    assert run_id in said  # committed as


def test_a_part_of_it_is(repository, live):
    repository.hooks("install", "--with", "pre-commit")
    repository.write("new.py", "x = 1\n")
    run_id = live()
    said = repository.git("commit", "-q", "-m", "a part", "train.py").stderr
    assert said == SAID.format(run_id)


# -- prepare-commit-msg


@pytest.fixture
def offering(repository):
    repository.hooks("install", "--with", "prepare-commit-msg")
    return repository


def message(repository):
    return repository.git("log", "-1", "--format=%B").stdout.rstrip("\n")


def test_a_message_gets_trailers_for_the_runs_of_this_very_tree(offering):
    first, second = offering.train(), offering.train()
    other = offering.train(TRAIN + "\n    # another tree\n")
    offering.script.write(TRAIN)
    offering.git("commit", "-q", "-a", "-m", "subject", "-m", "body\n\nSigned-off-by: A <a@b>")
    trailers = {f"Labbook-Run: {first}", f"Labbook-Run: {second}"}
    assert set(message(offering).splitlines()[-3:]) == {*trailers, "Signed-off-by: A <a@b>"}
    assert other not in message(offering)
    found = offering.git("log", "-1", "--format=%(trailers:key=Labbook-Run,valueonly)").stdout
    assert set(found.split()) == {first, second}


def test_a_message_from_a_file_too(offering):
    run_id = offering.train()
    offering.write(".git/text", "subject\n")
    offering.git("commit", "-q", "-a", "-F", ".git/text")
    assert message(offering) == f"subject\n\nLabbook-Run: {run_id}"


def test_another_tree_gets_none(offering):
    offering.train()
    offering.write("train.py", "not what ran\n")
    offering.git("commit", "-q", "-a", "-m", "subject")
    assert message(offering) == "subject"


def test_an_amended_commit_keeps_its_message(offering):
    offering.train()
    offering.git("commit", "-q", "-a", "-m", "subject")
    before = message(offering)
    offering.git("commit", "-q", "--amend", "--no-edit")
    assert message(offering) == before


def edited(repository, script, *arguments, **more):
    """Commit with an editor that is a shell script on the file $1."""
    editor = repository.write(".git/editor", f"#!/bin/sh\n{script}\n", 0o755)
    return repository.git(
        "commit", "-q", "-a", *arguments, check=False, GIT_EDITOR=f'"{editor}"', **more
    )


def test_in_an_editor_they_wait_as_a_comment(offering):
    run_id = offering.train()
    copy = offering.top / ".git/seen"
    done = edited(offering, f'cp "$1" "{copy}"; sed -i "1s/.*/subject/" "$1"')
    assert done.returncode == 0, done.stderr
    assert f"\n# This tree was run. To say so, keep:\n# Labbook-Run: {run_id}\n" in copy.read_text()
    assert message(offering) == "subject"


def test_and_are_kept_by_who_keeps_them(offering):
    run_id = offering.train()
    done = edited(offering, 'sed -i "1s/.*/subject/; s/^# Labbook-Run/Labbook-Run/" "$1"')
    assert done.returncode == 0, done.stderr
    assert message(offering) == f"subject\n\nLabbook-Run: {run_id}"


def test_a_commit_given_up_in_the_editor_stays_given_up(offering):
    offering.train()
    before = offering.head()
    done = edited(offering, "true")
    assert done.returncode == 1
    assert "empty commit message" in done.stderr
    assert offering.head() == before


@pytest.mark.parametrize("setting", ["core.commentChar=;", "commit.cleanup=verbatim"])
def test_where_a_comment_would_not_go_away_there_is_none(offering, setting):
    offering.train()
    name, _, value = setting.partition("=")
    offering.git("config", name, value)
    copy = offering.top / ".git/seen"
    edited(offering, f'cp "$1" "{copy}"; echo subject > "$1"')
    assert "Labbook-Run" not in copy.read_text()
    assert message(offering) == "subject"


# -- pre-push


@pytest.fixture
def pushing(repository, tmp_path):
    """A repository with an empty one to push to, and a snapshot of dirty code."""
    git(tmp_path, "init", "-q", "--bare", "there.git")
    repository.git("remote", "add", "origin", str(tmp_path / "there.git"))
    repository.hooks("install", "--with", "pre-push")
    repository.train()
    repository.git("fetch", "-q", ".labbook/code.git", "+refs/labbook/*:refs/labbook/*")
    (repository.snapshot,) = repository.git(
        "for-each-ref", "--format=%(refname)", "refs/labbook/trees"
    ).stdout.split()
    return repository


def there(repository, tmp_path):
    refs = repository.git("ls-remote", "origin").stdout
    return {line.split()[1] for line in refs.splitlines()} - {"HEAD"}


def test_an_ordinary_push_goes_through(pushing, tmp_path):
    assert pushing.git("push", "-q", "origin", "main", "HEAD:refs/heads/other").stderr == ""
    pushing.git("push", "-q", "origin", ":refs/heads/other")
    pushing.git("push", "-q", "--all", "origin")
    assert there(pushing, tmp_path) == {"refs/heads/main"}


@pytest.mark.parametrize("how", ["--mirror", "refs/labbook/*", "a branch", "a tag", "on top"])
def test_snapshots_are_not_pushed(pushing, tmp_path, how):
    arguments = [how]
    if how == "a branch":
        arguments = [f"{pushing.snapshot}:refs/heads/innocent"]
    elif how == "a tag":
        pushing.git("tag", "-a", "-m", "x", "v1", pushing.snapshot)
        arguments = ["v1"]
    elif how == "on top":
        pushing.git("stash", "-q")
        pushing.git("checkout", "-q", "-b", "work", pushing.snapshot)
        pushing.git("commit", "-q", "--allow-empty", "-m", "my own work")
        arguments = ["work"]
    words = ["--mirror", "origin"] if how == "--mirror" else ["origin", *arguments]
    done = pushing.git("push", "-q", *words, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "labbook: not pushed: snapshots hold whatever was in the working tree, also what was\n"
        "never committed. To push them all the same: git push --no-verify\n"
    )
    assert there(pushing, tmp_path) == set()
    pushing.git("push", "-q", "--no-verify", *words)
    assert there(pushing, tmp_path)


def test_a_book_that_was_committed_by_force_is_not_pushed(pushing, tmp_path):
    pushing.git("add", "-f", ".labbook/book.json")
    pushing.git("commit", "-q", "-m", "everything")
    done = pushing.git("push", "-q", "origin", "main", check=False)
    assert done.returncode == 1
    assert "  refs/heads/main -> refs/heads/main" in done.stderr
    assert there(pushing, tmp_path) == set()


def test_a_hook_that_was_there_gets_what_git_says(pushing, tmp_path):
    pushing.hooks("uninstall")
    seen = tmp_path / "seen"
    pushing.write(".git/hooks/pre-push", f'#!/bin/sh\necho "$@"\ncat > "{seen}"\n', 0o755)
    pushing.hooks("install", "--with", "pre-push")
    pushing.git("push", "-q", "origin", "main")
    assert seen.read_text().split()[:2] == ["refs/heads/main", pushing.head()]
    assert there(pushing, tmp_path) == {"refs/heads/main"}


def test_everything_at_once_is_one_word(repository):
    said = repository.hooks("install", "--with", "all")
    assert [line.partition(":")[0] for line in said.splitlines()] == [
        "post-commit", "post-checkout", "post-merge", "pre-commit", "prepare-commit-msg",
        "pre-push",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "labbook.cli", "hooks", "install", "--with", "pre-rebase"],
        cwd=repository.top, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "'pre-rebase' is not one of" in done.stderr
