"""What a rerun gets of the original folder: what was there when the run began, nothing newer."""

import os

from labbook.restore.linking import link_rest
from tests.conditions.gitrepo import write

START_NS = 2_000_000_000 * 10**9


def age(path, seconds):
    """Date a path and all above it within the original; a minus is before the start."""
    os.utime(path, (2e9 + seconds, 2e9 + seconds), follow_symlinks=False)


def make(top, old=(), new=()):
    for name in (*old, *new):
        write(top / name, name)
    for name in new:
        age(top / name, +10)
    for name in old:
        age(top / name, -10)
    folders = sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True)
    for folder in folders:
        has_new = any(p.lstat().st_mtime > 2e9 for p in folder.iterdir())
        age(folder, 10 if has_new else -10)


def link(tmp_path, **how):
    (tmp_path / "copy").mkdir(exist_ok=True)
    return link_rest(tmp_path / "top", tmp_path / "copy", started_ns=START_NS, **how)


def test_old_folders_are_linked_whole_and_new_files_are_not(tmp_path):
    make(tmp_path / "top", old=["data/a/x", "data/b", "big.bin"], new=["out/last.pt", "later.py"])
    linked = link(tmp_path)
    assert (sorted(linked.links), sorted(linked.newer)) == (
        ["big.bin", "data"],
        ["later.py", "out/"],
    )
    assert (tmp_path / "copy/data/a/x").read_text() == "data/a/x"


def test_a_rerun_that_writes_where_the_run_wrote_overwrites_nothing(tmp_path):
    make(tmp_path / "top", old=["out/base.pt"], new=["out/last.pt", "out/deep/log"])
    linked = link(tmp_path)
    assert linked.links == ["out/base.pt"]
    for name in ("out/last.pt", "out/deep/log", "out/next.pt"):
        write(tmp_path / "copy" / name, "again")
    assert (tmp_path / "top/out/last.pt").read_text() == "out/last.pt"
    assert (tmp_path / "top/out/deep/log").read_text() == "out/deep/log"
    assert not (tmp_path / "top/out/next.pt").exists()


def test_a_folder_emptied_since_is_real(tmp_path):
    (tmp_path / "top/out").mkdir(parents=True)
    age(tmp_path / "top/out", +10)
    link(tmp_path)
    assert not (tmp_path / "copy/out").is_symlink()


def test_restored_files_stay_and_data_beside_them_is_linked(tmp_path):
    make(tmp_path / "top", old=["data/x", "data/.gitkeep", "a.py"])
    write(tmp_path / "copy/data/.gitkeep", "as executed")
    write(tmp_path / "copy/a.py", "as executed")
    assert link(tmp_path).links == ["data/x"]
    assert (tmp_path / "copy/a.py").read_text() == "as executed"


def test_a_restored_link_is_not_entered(tmp_path):
    make(tmp_path / "top", old=["data/x"])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "copy").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "copy/data")
    assert link(tmp_path).links == []
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_environments_books_and_what_is_chosen(tmp_path):
    make(tmp_path / "top", old=["books/b/run"], new=[".venv/lib/new.py", "env/pyvenv.cfg", "out/x"])
    make(tmp_path / "top", new=[".git/HEAD", "__pycache__/x.pyc", "cache/deep/y", "cache/z"])
    linked = link(tmp_path, without=[tmp_path / "top/books/b"], chosen=["out", "cache/deep/y"])
    assert sorted(linked.links) == [".venv", "cache/deep/y", "env", "out"]
    assert linked.newer == ["cache/z"]


def test_the_folder_to_run_in_is_real(tmp_path):
    make(tmp_path / "top", old=["exp/one/config", "exp/two/config"])
    linked = link(tmp_path, real=["exp/one"])
    assert sorted(linked.links) == ["exp/one/config", "exp/two"]
