"""Snapshots of real repositories come back byte for byte, or say what they lack."""

import json
import os
import random
import shutil

import pytest

from labbook.conditions.limits import Limits
from labbook.conditions.snapshot import take
from labbook.conditions.store import ObjectStore
from labbook.conditions.trees import EMPTY_TREE, encode
from labbook.errors import DamagedFile, MisuseError, SnapshotError
from labbook.restore.recorded import read_snapshot
from labbook.restore.tree import restore_tree
from tests.conditions.gitrepo import files, git, photograph, repository, write
from tests.conditions.test_snapshot import _dirty


class Code:
    def __init__(self, tmp_path):
        self.git = tmp_path / "book/code.git"
        self.cache = tmp_path / "cache"
        self.into = tmp_path / "restored"

    def take(self, folder, **limits):
        """Take a snapshot and read it back as a reader gets it: through JSON."""
        limits = Limits(**{"seconds": 50.0, **limits})
        found = take(folder, self.git, limits=limits, private_cache=self.cache)
        return read_snapshot(json.loads(json.dumps(found.as_condition())), "the test")

    def restore(self, snapshot, original=None):
        shutil.rmtree(self.into, ignore_errors=True)
        return restore_tree(snapshot, self.git, self.into, original)

    def hostile(self, entries):
        """A snapshot whose tree has these entries, which no start would make."""
        store = ObjectStore(self.git)
        store.create()
        tree = store.write("tree", b"".join(encode({n: leaf}) for n, leaf in entries(store)))
        return read_snapshot({"kind": "complete", "tree": tree, "commit": tree}, "the test")


@pytest.fixture
def code(tmp_path):
    return Code(tmp_path)


@pytest.mark.parametrize("seed", range(20))
def test_randomly_dirtied_trees(tmp_path, code, seed):
    """Edits, binaries, deletions, renames, modes, links, CRLF under `text=auto`, new files."""
    draw = random.Random(seed)
    names = [f"{draw.choice('abc')}/{draw.choice('xyz')}/f{i}.txt" for i in range(30)]
    start = {name: "".join(f"line {draw.random()}\n" for _ in range(9)) for name in names}
    top = repository(tmp_path / "r", {**start, ".gitattributes": "* text=auto\n*.crlf eol=crlf\n"})
    for name in draw.sample(names, 12):
        _dirty(top, name, draw)
    write(top / f"new{draw.random()}/n.txt", draw.randbytes(50))
    snapshot, expected = code.take(top), files(top)
    git(top, "commit", "-q", "--allow-empty", "--amend", "-m", "rewritten")
    git(top, "reflog", "expire", "--expire=now", "--all")
    git(top, "gc", "-q", "--prune=now")
    shutil.rmtree(top)
    restored = code.restore(snapshot, top)
    assert files(code.into) == expected
    assert restored.missing == []
    assert len(restored.files) + len(restored.links) == len(expected)


def test_names_that_are_no_text_and_modes_and_links(tmp_path, code):
    top = repository(tmp_path / "r", {".gitattributes": "* text=auto\n"})
    odd = os.fsdecode(b"latin\xe9\n.py")
    write(top / odd, b"a\r\n")  # its very bytes are in `raw`, under this name
    write(top / "tool.sh", "#!/bin/sh\n")
    (top / "tool.sh").chmod(0o755)
    os.symlink("tool.sh", top / "inside")
    os.symlink("../../etc/passwd", top / "outside")
    os.symlink("/etc/passwd", top / "absolute")
    restored = code.restore(code.take(top))
    assert files(code.into) == files(top)
    assert sorted(restored.outward) == ["absolute", "outside"]


def test_repositories_inside(tmp_path, code):
    inner = repository(tmp_path / "inner")
    top = repository(tmp_path / "r")
    git(top, "submodule", "--quiet", "add", str(inner), "lib/sub")
    git(top, "submodule", "--quiet", "add", str(inner), "never")
    git(top, "commit", "-q", "-m", "with submodules")
    git(top, "submodule", "--quiet", "deinit", "-f", "never")
    repository(top / "vendored/lib", {})
    write(top / "vendored/lib/new.py", "1\n")
    write(top / "lib/sub/train.py", "edited\n")
    repository(top / "lib/sub/deeper", {"x": "y"})
    code.restore(code.take(top))
    assert files(code.into) == files(top)
    assert list((code.into / "never").iterdir()) == []


def test_what_was_left_out_is_named(tmp_path, code):
    top = repository(tmp_path / "r", {"weights": "small", "a.py": "1\n"})
    write(top / "weights", b"x" * 3000)
    write(top / "data.bin", b"x" * 4000)
    write(top / ".env", "secret")
    restored = code.restore(code.take(top, file_bytes=2000))
    assert {item.path: item.bytes for item in restored.missing} == {
        "weights": 3000, "data.bin": 4000, ".env": 6,
    }  # fmt: skip
    assert set(files(code.into)) == {"a.py"}


def _partial(code, top):
    """A snapshot whose commit was not copied: no git could run for it."""
    snapshot = code.take(top).as_condition()
    store = ObjectStore(code.git)
    found = {**snapshot, "kind": "partial", "reason": "out of time", "commit": None}
    shutil.rmtree(store.root / "refs/labbook/trees")
    shutil.rmtree(store.root / "refs/labbook/base")
    for pack in (store.objects / "pack").iterdir():
        pack.unlink()
    blob = store.write("blob", (top / "train.py").read_bytes())
    overlay = store.write("tree", encode({b"train.py": ("100644", blob)}))
    return read_snapshot(json.loads(json.dumps({**found, "overlay": overlay})), "the test")


def test_a_partial_snapshot_takes_the_rest_from_the_users_repository(tmp_path, code):
    top = repository(tmp_path / "r", {"train.py": "1\n", "a/b.py": "2\n", "gone.py": "3\n"})
    write(top / "train.py", "edited\n")
    (top / "gone.py").unlink()
    expected = files(top)
    snapshot = _partial(code, top)
    write(top / "train.py", "edited since\n")
    write(top / "a/b.py", "edited since\n")
    restored = code.restore(snapshot, top)
    assert files(code.into) == expected
    assert [item.why for item in restored.missing] == [
        "whatever else was changed or untracked: out of time"
    ]
    assert f"files as committed were read from {top}" in restored.notes


def test_a_partial_snapshot_without_the_users_repository_says_what_it_lacks(tmp_path, code):
    top = repository(tmp_path / "r", {"train.py": "1\n", "a/b.py": "2\n"})
    write(top / "train.py", "edited\n")
    snapshot = _partial(code, top)
    for original in (None, tmp_path, top):
        if original == top:
            shutil.rmtree(top)
        restored = code.restore(snapshot, original)
        assert files(code.into) == {"train.py": ("100644", b"edited\n")}
        assert restored.missing[0].path == "./"
        assert f"all that was unchanged since commit {snapshot.base}" in restored.missing[0].why


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path, code):
    snapshot = code.take(repository(tmp_path / "r"))
    write(code.into / "mine.txt", "precious")
    before = photograph(tmp_path)
    with pytest.raises(MisuseError, match=r"is not empty \(it holds 'mine.txt'\)"):
        restore_tree(snapshot, code.git, code.into)
    with pytest.raises(MisuseError, match="cannot hold the code"):
        restore_tree(snapshot, code.git, code.into / "mine.txt")
    assert photograph(tmp_path) == before


def test_a_missing_object_is_named_and_nothing_is_left_behind(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / "train.py", "edited\n")
    snapshot = code.take(top)
    for folder in code.git.glob("objects/[0-9a-f][0-9a-f]"):
        shutil.rmtree(folder)
    with pytest.raises(SnapshotError, match="is missing"):
        code.restore(snapshot)
    assert list(code.into.iterdir()) == []


def test_no_code(tmp_path, code):
    ObjectStore(code.git).create()
    with pytest.raises(SnapshotError, match="not recorded: no git"):
        code.restore(read_snapshot({"kind": "none", "reason": "no git"}, "x"))


# -- books from elsewhere


def _escapes(store):
    link = store.write("blob", b"..")
    inner = store.write("tree", encode({b"sprung": ("100644", store.write("blob", b"evil"))}))
    yield b"a", ("120000", link)
    yield b"a", ("40000", inner)


def test_a_link_and_a_folder_of_one_name_write_nothing_outside(tmp_path, code):
    with pytest.raises(SnapshotError, match="is twice in the code"):
        code.restore(code.hostile(_escapes))
    assert not list(tmp_path.rglob("sprung"))
    assert list(code.into.iterdir()) == []


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"a/../../b", b"/etc/x"])
def test_a_tree_that_leads_out_is_refused(tmp_path, code, name):
    blob = ObjectStore(code.git).write("blob", b"evil")
    with pytest.raises(SnapshotError, match="refused"):
        code.restore(code.hostile(lambda _: [(name, ("100644", blob))]))
    assert list(code.into.iterdir()) == []


def test_a_nested_repository_behind_a_link_writes_nothing_outside(tmp_path, code):
    """The outer tree has a link where the inner repository is said to be."""
    top = repository(tmp_path / "inner", {"sprung": "evil"})
    inner = code.take(top).as_condition()
    outer = code.hostile(lambda s: [(b"a", ("120000", s.write("blob", os.fsencode(tmp_path))))])
    for path in ("a", "a/b"):
        found = read_snapshot({**outer.as_condition(), "nested": {path: inner}}, "x")
        with pytest.raises(SnapshotError, match=r"is twice in the code"):
            code.restore(found)
    assert not (tmp_path / "sprung").exists()
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("path", ["..", "../x", "/tmp", "a/../../x", "a//b", ".git/hooks", "x\0"])
def test_a_nested_path_that_leads_out_is_refused(path):
    inner = {"kind": "complete", "tree": EMPTY_TREE}
    with pytest.raises(SnapshotError, match="leads out of its folder"):
        read_snapshot({**inner, "nested": {path: inner}}, "x")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "whole"}, {"tree": "../../x"}, {"tree": 3}, {"commit": "HEAD"}, {"raw": ["x"]},
        {"raw": {"a": "short"}}, {"deleted": [1]}, {"left_out": [{}]}, {"nested": {"a": None}},
        {"prefix": 1}, {"overlay": "--help"},
    ],
    ids=str,
)  # fmt: skip
def test_a_snapshot_of_another_shape_is_damaged(change):
    with pytest.raises(DamagedFile, match="is not what labbook writes"):
        read_snapshot({"kind": "complete", "tree": EMPTY_TREE, **change}, "x")


def test_endless_nesting_is_refused():
    found = {"kind": "complete", "tree": EMPTY_TREE}
    for _ in range(50):
        found = {"kind": "complete", "tree": EMPTY_TREE, "nested": {"a": found}}
    with pytest.raises(DamagedFile):
        read_snapshot(found, "x")
