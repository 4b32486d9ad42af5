"""What a start costs, in counts: git processes, files read. Times are the benchmarks' business."""

import os
import shutil
import time

import pytest

from labbook.conditions import base
from tests.conditions.gitrepo import files, git, repository, write


@pytest.fixture
def wrapped_git(tmp_path, monkeypatch):
    """The real git, which writes down each verb, and holds `pack-objects` back while told to."""
    real, folder = shutil.which("git"), tmp_path / "bin"
    write(
        folder / "git",
        f'#!/bin/sh\necho "$*" >> {folder}/calls\n'
        f'case "$*" in *pack-objects*) read _ < {folder}/gate;; esac\nexec {real} "$@"\n',
    )
    (folder / "git").chmod(0o755)
    write(folder / "gate", "open\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def _calls(folder):
    found = (folder / "calls").read_text().splitlines()
    (folder / "calls").unlink()
    return found


def test_a_second_start_asks_git_twice_and_reads_nothing(tmp_path, code, wrapped_git):
    top = repository(tmp_path / "r")
    code.take(top)
    _calls(wrapped_git)
    code.take(top)
    assert len(_calls(wrapped_git)) == 2  # status, config
    write(top / "train.py", "changed\n")
    write(top / "new.py", "1\n")
    code.take(top)
    assert len(_calls(wrapped_git)) == 3  # and the trees on the way to the change
    snapshot = code.take(top)
    assert len(_calls(wrapped_git)) == 2
    assert snapshot.n_hashed == 0


def test_converted_files_are_looked_for_once(tmp_path, code, wrapped_git):
    top = repository(tmp_path / "r", {".gitattributes": "* text=auto\n", "a.py": "1\n"})
    write(top / "a.py", "1\r\n")
    code.take(top)
    _calls(wrapped_git)
    assert code.take(top).raw.keys() == {"a.py"}
    assert len(_calls(wrapped_git)) == 2
    write(top / "a.py", "1\r\n2\r\n")
    code.take(top)
    _calls(wrapped_git)
    assert code.take(top).raw.keys() == {"a.py"}
    assert len(_calls(wrapped_git)) == 2


def test_a_new_commit_brings_only_what_is_new(tmp_path, code):
    top = repository(tmp_path / "r", {f"d{i}/f{i}": os.urandom(5000) for i in range(50)})
    code.take(top)
    packs = code.git / "objects/pack"
    (first,) = packs.glob("*.pack")
    write(top / "d1/f1", "new\n")
    git(top, "commit", "-q", "-a", "-m", "second")
    snapshot = code.take(top)
    (second,) = set(packs.glob("*.pack")) - {first}
    assert second.stat().st_size < first.stat().st_size / 20
    assert code.restore(snapshot) == files(top)


def test_a_commit_too_large_for_one_start_is_copied_behind_it(tmp_path, code, wrapped_git):
    top = repository(tmp_path / "r")
    write(top / "train.py", "changed\n")
    (top / "src/model.py").unlink()
    (wrapped_git / "gate").unlink()
    os.mkfifo(wrapped_git / "gate")
    cut = code.take(top, seconds=1.0)
    assert (cut.kind, cut.reason) == ("partial", "out of time: git goes on copying the commit")
    assert cut.commit is None
    assert cut.deleted == ("src/model.py",)
    with code.reader() as reader:
        (kept,) = reader.files(cut.overlay)
        assert (kept.path, reader.read(kept.oid)) == ("train.py", b"changed\n")
    # a start meanwhile does not wait for it
    again = code.take(top)
    assert again.reason == "git is still copying the commit for an earlier start"
    (wrapped_git / "gate").write_text("open\n")
    (child,) = base._BACKGROUND
    child.wait(timeout=50)
    whole = code.take(top)
    assert (whole.kind, whole.tree) == ("complete", cut.tree)
    assert code.restore(whole) == files(top)
    assert base._BACKGROUND == []


def test_what_killed_copies_left_is_swept_when_it_is_old(tmp_path, code):
    top = repository(tmp_path / "r")
    old, young = (code.git / "objects/pack" / f"tmp_pack_{name}" for name in ("old", "young"))
    write(old, "x")
    write(young, "x")
    os.utime(old, (time.time() - 90000, time.time() - 90000))
    code.take(top)
    assert not old.exists()
    assert young.exists()
