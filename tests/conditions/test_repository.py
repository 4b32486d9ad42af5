"""`describe` on real repositories in every state that is met in practice."""

import os
import shutil
import subprocess

import pytest

from labbook.conditions import repository
from tests.conditions.gitrepo import git, photograph, write
from tests.conditions.gitrepo import repository as make


def described(folder, **more):
    found, reason = repository.describe(folder, **more)
    assert reason is None, reason
    return found


def test_a_clean_repository(tmp_path):
    top = make(tmp_path / "r")
    git(top, "tag", "v1")
    assert described(top / "src") == {
        "commit": git(top, "rev-parse", "HEAD"),
        "branch": "main",
        "remote": None,
        "describe": "v1",
        "dirty": [],
        "ahead": None,
        "behind": None,
        "detached": False,
    }


def test_every_kind_of_dirt(tmp_path):
    names = ["modified", "staged", "deleted", "staged-deleted", "old name", "mode"]
    top = make(tmp_path / "r", {name: f"{name}\n" * 20 for name in names})
    write(top / "modified", "new")
    write(top / "staged", "new")
    git(top, "add", "staged")
    (top / "deleted").unlink()
    git(top, "rm", "-q", "staged-deleted")
    git(top, "mv", "old name", "new name")
    (top / "mode").chmod(0o755)
    write(top / "added", "new")
    git(top, "add", "added")
    write(top / "folder/un\ntracked é", "new")
    dirty = {entry["path"]: entry for entry in described(top)["dirty"]}
    assert {path: entry["status"] for path, entry in dirty.items()} == {
        "modified": "modified",
        "staged": "modified",
        "deleted": "deleted",
        "staged-deleted": "deleted",
        "new name": "renamed",
        "mode": "modified",
        "added": "added",
        "folder/un\ntracked é": "untracked",
    }
    assert dirty["new name"]["from"] == "old name"


def test_a_conflict(tmp_path):
    top = make(tmp_path / "r")
    git(top, "checkout", "-q", "-b", "other")
    write(top / "train.py", "theirs\n")
    git(top, "commit", "-q", "-a", "-m", "theirs")
    git(top, "checkout", "-q", "main")
    write(top / "train.py", "ours\n")
    git(top, "commit", "-q", "-a", "-m", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(top, "merge", "other")
    assert described(top)["dirty"] == [{"path": "train.py", "status": "conflicted"}]


def test_an_empty_repository(tmp_path):
    top = make(tmp_path / "r", {})
    write(top / "train.py", "print()\n")
    found = described(top)
    assert found["commit"] is None
    assert found["describe"] is None
    assert found["branch"] == "main"
    assert found["dirty"] == [{"path": "train.py", "status": "untracked"}]


def test_a_detached_head(tmp_path):
    top = make(tmp_path / "r")
    git(top, "checkout", "-q", "--detach")
    found = described(top)
    assert found["detached"]
    assert found["branch"] is None
    assert found["commit"] == git(top, "rev-parse", "HEAD")


def test_ahead_and_behind_and_the_remote_of_the_branch(tmp_path):
    origin = make(tmp_path / "origin")
    git(tmp_path, "clone", "-q", "origin", "clone")
    clone = tmp_path / "clone"
    git(origin, "commit", "-q", "--allow-empty", "-m", "theirs")
    for i in range(2):
        git(clone, "commit", "-q", "--allow-empty", "-m", f"ours {i}")
    git(clone, "fetch", "-q")
    git(clone, "remote", "add", "other", "https://example.org/other.git")
    found = described(clone)
    assert (found["ahead"], found["behind"]) == (2, 1)
    assert found["remote"] == str(tmp_path / "origin")


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:hunter2@example.org/r.git", "https://example.org/r.git"),
        ("https://ghp_0123456789abcdefghij0123456789ABCDEF@github.com/r", "https://github.com/r"),
        ("ssh://git:secret@example.org/r.git", "ssh://git@example.org/r.git"),
        ("git@github.com:me/r.git", "git@github.com:me/r.git"),
        (
            "https://example.org/r?access_token=0123456789abcdef",
            "https://example.org/r?access_token=***",
        ),
    ],
)
def test_a_remote_is_recorded_without_credentials(tmp_path, url, clean):
    top = make(tmp_path / "r", {})
    git(top, "remote", "add", "origin", url)
    assert described(top)["remote"] == clean


def test_no_repository(tmp_path):
    found, reason = repository.describe(tmp_path)
    assert found is None
    assert reason == f"{tmp_path} is not in a git repository"


def test_a_bare_repository_and_a_folder_that_is_gone(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    assert "bare git repository" in repository.describe(tmp_path / "bare.git")[1]
    assert repository.describe(tmp_path / "gone")[1] == f"no folder {tmp_path / 'gone'}"


def test_no_git_at_all(tmp_path, monkeypatch):
    make(tmp_path / "r")
    monkeypatch.setenv("PATH", str(tmp_path))
    found, reason = repository.describe(tmp_path / "r")
    assert found is None
    assert reason == "git is not installed, or not on PATH"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_foreign_owner(tmp_path):
    top = make(tmp_path / "r")
    for path in [top, *top.rglob("*")]:
        os.chown(path, 12345, 12345)
    assert described(top)["branch"] == "main"


def test_git_dir_of_a_hook_is_not_followed(tmp_path, monkeypatch):
    top, other = make(tmp_path / "r"), make(tmp_path / "other", {"a": "other"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    found = described(top)
    monkeypatch.undo()
    assert found["commit"] == git(top, "rev-parse", "HEAD")
    assert found["dirty"] == []


def test_nothing_of_the_repository_changes_and_nothing_of_it_runs(tmp_path):
    top = make(tmp_path / "r")
    hook = top / ".git/hooks/post-index-change"
    write(hook, f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    monitor = tmp_path / "monitor"
    write(monitor, f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    monitor.chmod(0o755)
    git(top, "config", "core.fsmonitor", str(monitor))
    os.utime(top / "train.py", (1, 1))  # stale in the index: `git status` would refresh it
    before = photograph(top)
    described(top)
    assert photograph(top) == before
    assert not (tmp_path / "ran").exists()


def test_a_stale_lock_is_no_obstacle(tmp_path):
    top = make(tmp_path / "r")
    write(top / ".git/index.lock", "")
    write(top / "train.py", "changed\n")
    assert described(top)["dirty"] == [{"path": "train.py", "status": "modified"}]


def test_a_linked_worktree_and_a_dirty_submodule(tmp_path):
    inner = make(tmp_path / "inner")
    top = make(tmp_path / "r")
    git(top, "submodule", "--quiet", "add", str(inner), "sub")
    git(top, "commit", "-q", "-m", "with a submodule")
    write(top / "sub/train.py", "changed\n")
    assert described(top)["dirty"] == [{"path": "sub", "status": "modified"}]
    git(top, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side")
    assert described(tmp_path / "linked")["branch"] == "side"


def test_out_of_time_is_a_reason_and_not_an_exception(tmp_path):
    # a filter that never ends, where git must ask it whether a file is modified
    top = make(tmp_path / "r", {".gitattributes": "*.py filter=slow\n", "a.py": "1\n"})
    git(top, "config", "filter.slow.clean", "sleep 600")
    os.utime(top / "a.py", (1, 1))
    found, reason = repository.describe(top, limit_s=0.2)
    assert found is None
    assert reason == "git took longer than 0.2 s"


def test_git_that_fails_says_why(tmp_path):
    top = make(tmp_path / "r")
    shutil.copy(top / "train.py", top / ".git/index")
    found, reason = repository.describe(top)
    assert found is None
    assert "index file" in reason
