"""Whether the working tree is still what a live run began with: real git, a real live process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labbook.book.facts import Facts
from labbook.paths import open_book
from labbook.upkeep.drift import changed_since_start
from tests.tui.lab import TRAIN, Lab, make_lab

pytestmark = pytest.mark.timeout(120)

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Lab]:
    """A lab with a run that lives, begun with one dirty and one untracked file."""
    lab = make_lab(tmp_path / "a lab")
    (lab.root / "other.py").write_text("A = 1\n")
    subprocess.run([*GIT, "add", "other.py"], cwd=lab.root, check=True)
    subprocess.run([*GIT, "commit", "-qm", "other"], cwd=lab.root, check=True)
    (lab.root / "train.py").write_text(TRAIN + "# dirty\n")
    (lab.root / "new.py").write_text("B = 1\n")
    with lab.begin() as process:
        yield lab
        process.communicate()


def changed(lab: Lab, tmp_path: Path) -> tuple[str, ...] | None:
    book = open_book(lab.book)
    facts = Facts(book.run(book.run_ids()[0]))
    facts.refresh()
    return changed_since_start(book, facts, tmp_path / "private", seconds=30)


def test_an_unchanged_tree_is_unchanged_though_dirty(live: Lab, tmp_path: Path) -> None:
    assert changed(live, tmp_path) == ()


def test_every_kind_of_change_is_named(live: Lab, tmp_path: Path) -> None:
    (live.root / "train.py").write_text(TRAIN + "# dirty again\n")
    (live.root / "new.py").unlink()
    (live.root / "other.py").write_text("A = 2\n")
    (live.root / "newer.py").write_text("C = 1\n")
    (live.root / "log.txt").write_text("no code\n")
    assert changed(live, tmp_path) == ("new.py", "other.py", "train.py", "newer.py")


def test_a_change_taken_back_is_none(live: Lab, tmp_path: Path) -> None:
    (live.root / "other.py").write_text("A = 2\n")
    assert changed(live, tmp_path) == ("other.py",)
    (live.root / "other.py").write_text("A = 1\n")
    assert changed(live, tmp_path) == ()


def test_a_commit_of_the_same_code_is_no_change(live: Lab, tmp_path: Path) -> None:
    subprocess.run([*GIT, "add", "-A"], cwd=live.root, check=True)
    subprocess.run([*GIT, "commit", "-qm", "all"], cwd=live.root, check=True)
    assert changed(live, tmp_path) == ()


def test_another_commit_is_a_change(live: Lab, tmp_path: Path) -> None:
    subprocess.run([*GIT, "stash", "-qu"], cwd=live.root, check=True)
    assert changed(live, tmp_path) == ("new.py", "train.py")


def test_the_users_index_is_not_touched(live: Lab, tmp_path: Path) -> None:
    index = live.root / ".git/index"
    before = index.read_bytes(), index.stat().st_mtime_ns
    (live.root / "other.py").write_text("A = 2\n")
    assert changed(live, tmp_path) == ("other.py",)
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before
    assert not (live.root / ".git/index.lock").exists()


def test_a_run_that_has_ended_is_not_looked_at(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "a lab")
    assert lab.train("--then", "none").returncode == 0
    (lab.root / "train.py").write_text(TRAIN + "# later\n")
    assert changed(lab, tmp_path) is None
