"""Every known hazard of recording code through git, each in a real repository."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from labbook.conditions.objects import ObjectReader
from labbook.conditions.others import take_others
from labbook.conditions.snapshot import Limits, take
from labbook.errors import SnapshotError
from tests.conditions.gitrepo import (
    files,
    git,
    photograph,
    repository,
    tree_of_everything,
    write,
)

# -- what git converts


@pytest.mark.parametrize("attributes", ["* text=auto\n", "* text\n", "*.py text eol=crlf\n"])
def test_line_ends_that_git_converts_come_back_as_they_were(tmp_path, code, attributes):
    top = repository(tmp_path / "r", {".gitattributes": attributes, "lf.py": "a\nb\n"})
    write(top / "crlf.py", b"a\r\nb\r\n")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "crlf")
    clean = code.take(top)
    assert clean.tree == git(top, "rev-parse", "HEAD^{tree}")
    assert "crlf.py" in clean.raw
    assert code.restore(clean) == files(top)
    write(top / "crlf.py", b"a\r\nb\r\nc\r\n")
    write(top / "new.py", b"mixed\r\nmixed\n")
    dirty = code.take(top)
    assert code.restore(dirty) == files(top)
    assert code.take(top).n_hashed == 0
    assert dirty.tree == tree_of_everything(top)


def test_a_file_whose_line_ends_alone_changed_is_clean_and_still_comes_back(tmp_path, code):
    top = repository(tmp_path / "r", {".gitattributes": "* text=auto\n", "a.py": "a\nb\n"})
    assert code.take(top).raw == {}
    write(top / "a.py", b"a\r\nb\r\n")
    snapshot = code.take(top)
    assert snapshot.tree == git(top, "rev-parse", "HEAD^{tree}")
    assert code.restore(snapshot) == files(top)
    write(top / "a.py", b"a\nb\n")
    assert code.take(top).raw == {}


def test_committed_crlf_under_text_auto_stays_as_git_would_keep_it(tmp_path, code):
    top = repository(tmp_path / "r", {"a.py": b"a\r\nb\r\n"})
    write(top / ".gitattributes", "* text=auto\n")
    git(top, "add", ".gitattributes")
    git(top, "commit", "-q", "-m", "attributes")
    write(top / "a.py", b"a\r\nchanged\r\n")
    snapshot = code.take(top)
    assert code.restore(snapshot) == files(top)
    assert snapshot.tree == tree_of_everything(top)


def test_autocrlf_without_any_attributes(tmp_path, code):
    top = repository(tmp_path / "r")
    git(top, "config", "core.autocrlf", "true")
    write(top / "new.py", b"a\r\nb\r\n")
    write(top / "train.py", b"a\r\n")
    snapshot = code.take(top)
    assert code.restore(snapshot) == files(top)
    assert snapshot.tree == tree_of_everything(top)


def test_ident_and_other_encodings(tmp_path, code):
    attributes = "*.id ident\n*.u16 text working-tree-encoding=UTF-16LE eol=lf\n"
    top = repository(tmp_path / "r", {".gitattributes": attributes})
    write(top / "a.id", "# $Id$\n")
    write(top / "b.u16", "grün\n".encode("utf-16-le"))
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "x")
    (top / "a.id").unlink()
    git(top, "checkout", "a.id")
    assert b"$Id: " in (top / "a.id").read_bytes()
    snapshot = code.take(top)
    assert snapshot.raw.keys() == {"a.id", "b.u16"}
    assert code.restore(snapshot) == files(top)


def test_a_filter_of_the_users_own(tmp_path, code):
    # the committed form has the same length: only the attribute tells that it differs
    top = repository(tmp_path / "r", {".gitattributes": "*.rot filter=rot\n", "a.py": "1\n"})
    git(top, "config", "filter.rot.clean", "tr a-z n-za-m")
    git(top, "config", "filter.rot.smudge", "tr a-z n-za-m")
    write(top / "clean.rot", "clean\n")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "x")
    write(top / "new.rot", "new\n")
    snapshot = code.take(top)
    assert snapshot.raw.keys() == {"clean.rot", "new.rot"}
    assert code.restore(snapshot) == files(top)
    assert snapshot.tree == tree_of_everything(top)


def test_a_filter_that_fails_is_left_out(tmp_path, code):
    top = repository(tmp_path / "r", {".gitattributes": "*.x filter=broken\n"})
    git(top, "config", "filter.broken.clean", "false")
    git(top, "config", "filter.broken.required", "true")
    write(top / "a.x", "content\n")
    snapshot = code.take(top)
    assert snapshot.kind == "complete"
    assert code.restore(snapshot) == files(top)


CLEAN = """import sys, hashlib
data = sys.stdin.buffer.read()
print("version https://git-lfs.github.com/spec/v1")
print("oid sha256:" + hashlib.sha256(data).hexdigest())
print("size %d" % len(data))
"""


def _lfs(top):
    """What git-lfs leaves: pointers in the commits, bytes in the tree; then lose its binary."""
    write(top.parent / "clean.py", CLEAN)
    git(
        top,
        "config",
        "filter.lfs.clean",
        shlex.join([sys.executable, str(top.parent / "clean.py")]),
    )
    write(top / "model.bin", b"weights" * 100)
    os.utime(top / "model.bin", (1, 1))  # older than the index: git need not look inside again
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "lfs")
    git(top, "config", "filter.lfs.clean", "git-lfs-of-nobody clean -- %f")
    git(top, "config", "filter.lfs.process", "git-lfs-of-nobody filter-process")
    git(top, "config", "filter.lfs.required", "true")


def test_lfs_without_its_binary(tmp_path, code):
    top = repository(tmp_path / "r", {".gitattributes": "*.bin filter=lfs -text\n"})
    _lfs(top)
    clean = code.take(top)
    assert clean.tree == git(top, "rev-parse", "HEAD^{tree}")
    assert code.restore(clean) == files(top)
    write(top / "model.bin", b"trained" * 90)
    write(top / "new.bin", b"more" * 90)
    before = photograph(top)
    dirty = code.take(top)
    assert photograph(top) == before  # git-lfs itself would write into .git/lfs
    assert code.restore(dirty) == files(top)
    git(top, "config", "--unset", "filter.lfs.process")
    git(top, "config", "filter.lfs.clean", shlex.join([sys.executable, str(tmp_path / "clean.py")]))
    assert dirty.tree == tree_of_everything(top)


def test_a_large_lfs_file_is_recorded_by_its_pointer_and_listed(tmp_path, code):
    top = repository(tmp_path / "r", {".gitattributes": "*.bin filter=lfs -text\n"})
    _lfs(top)
    snapshot = code.take(top, file_bytes=500)
    assert snapshot.tree == git(top, "rev-parse", "HEAD^{tree}")
    (left,) = snapshot.left_out
    assert (left.path, left.bytes) == ("model.bin", 700)
    assert left.why.endswith("its form in git is recorded")


# -- repositories inside repositories


def test_a_submodule_with_edits_and_a_commit_nobody_pushed(tmp_path, code):
    inner = repository(tmp_path / "inner")
    top = repository(tmp_path / "r")
    git(top, "submodule", "--quiet", "add", str(inner), "lib/sub")
    git(top, "commit", "-q", "-m", "with a submodule")
    clean = code.take(top)
    assert clean.tree == git(top, "rev-parse", "HEAD^{tree}")
    assert code.restore(clean) == files(top)
    write(top / "lib/sub/train.py", "committed\n")
    git(top / "lib/sub", "commit", "-q", "-a", "-m", "unpushed")
    write(top / "lib/sub/train.py", "edited\n")
    write(top / "lib/sub/new.py", "new\n")
    snapshot = code.take(top)
    assert snapshot.submodules["lib/sub"].base == git(top / "lib/sub", "rev-parse", "HEAD")
    assert snapshot.files_modified == ("lib/sub",)
    assert code.restore(snapshot) == files(top)
    assert snapshot.tree == tree_of_everything(top)
    git(code.git, "fsck", "--full", "--strict")


def test_a_submodule_that_was_never_fetched(tmp_path, code):
    inner = repository(tmp_path / "inner")
    top = repository(tmp_path / "r")
    git(top, "submodule", "--quiet", "add", str(inner), "sub")
    git(top, "commit", "-q", "-m", "with a submodule")
    git(tmp_path, "clone", "-q", "r", "clone")
    snapshot = code.take(tmp_path / "clone")
    assert snapshot.nested == {}
    assert snapshot.tree == git(top, "rev-parse", "HEAD^{tree}")


@pytest.mark.parametrize("commits", [True, False])
def test_a_repository_inside_that_was_never_added(tmp_path, code, commits):
    top = repository(tmp_path / "r")
    inner = repository(top / "vendored/lib", None if commits else {})
    write(inner / "edited.py", "1\n")
    snapshot = code.take(top)
    assert snapshot.kind == "complete"
    assert snapshot.nested.keys() == {"vendored/lib"}
    assert code.restore(snapshot) == files(top)


# -- states of the index and of HEAD


@pytest.mark.parametrize("bit", ["--skip-worktree", "--assume-unchanged"])
def test_edits_behind_bits_that_hide_them(tmp_path, code, bit):
    top = repository(tmp_path / "r")
    git(top, "update-index", bit, "train.py")
    write(top / "train.py", "hidden edit\n")
    for _ in range(2):
        snapshot = code.take(top)
        assert snapshot.files_modified == ("train.py",)
        assert code.restore(snapshot) == files(top)


def test_a_sparse_checkout_lacks_only_what_it_lacks(tmp_path, code):
    top = repository(tmp_path / "r", {"a/x": "1", "b/y": "2", "c": "3"})
    git(top, "sparse-checkout", "set", "a")
    assert not (top / "b").exists()
    snapshot = code.take(top)
    # what is not checked out is the commit's, not deleted
    assert snapshot.tree == git(top, "rev-parse", "HEAD^{tree}")


def test_a_split_index_stays_split_and_untouched(tmp_path, code):
    top = repository(tmp_path / "r", {".gitattributes": "* text=auto\n", "a.py": "a\nb\n"})
    git(top, "update-index", "--split-index")
    write(top / "a.py", b"a\r\nb\r\n")
    before = photograph(top)
    snapshot = code.take(top)
    # any git that reads a split index touches the shared half, which would else expire
    shared = next(name for name in before if "sharedindex" in name)
    after = photograph(top)
    assert after.pop(shared)[3] == before.pop(shared)[3]
    assert after == before
    assert code.restore(snapshot) == files(top)


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_version_of_the_index(tmp_path, code, version):
    names = [f"folder/{'deep/' * (i % 3)}file{i}.txt" for i in range(40)]
    content = {name: f"{name}\n" for name in names}
    top = repository(tmp_path / "r", {**content, ".gitattributes": "* text=auto\n"})
    git(top, "update-index", "--index-version", version)
    for name in names[::7]:
        write(top / name, f"{name}\r\n")
    write(top / "intent", "x\n")
    git(top, "add", "-N", "intent")  # makes version 3 out of 2
    snapshot = code.take(top)
    assert snapshot.raw.keys() == set(names[::7])
    assert code.restore(snapshot) == files(top)


def test_an_unborn_head(tmp_path, code):
    top = repository(tmp_path / "r", {})
    assert code.take(top).kind == "complete"
    write(top / "train.py", "1\n")
    write(top / "staged.py", "2\n")
    git(top, "add", "staged.py")
    snapshot = code.take(top)
    assert (snapshot.kind, snapshot.base) == ("complete", None)
    assert code.restore(snapshot) == files(top)
    assert snapshot.tree == tree_of_everything(top)


def test_a_detached_head_and_a_linked_worktree(tmp_path, code):
    top = repository(tmp_path / "r")
    git(top, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    linked = tmp_path / "linked"
    write(linked / "train.py", "in the linked one\n")
    before = photograph(top)
    snapshot = code.take(linked)
    assert photograph(top) == before
    assert code.restore(snapshot) == files(linked)
    assert code.take(top).files_modified == ()


def test_a_merge_in_progress(tmp_path, code):
    top = repository(tmp_path / "r")
    git(top, "checkout", "-q", "-b", "other")
    write(top / "train.py", "theirs\n")
    git(top, "rm", "-q", "src/model.py")
    git(top, "commit", "-q", "-a", "-m", "theirs")
    git(top, "checkout", "-q", "main")
    write(top / "train.py", "ours\n")
    write(top / "src/model.py", "ours\n")
    git(top, "commit", "-q", "-a", "-m", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(top, "merge", "other")
    before = photograph(top)
    snapshot = code.take(top)
    assert photograph(top) == before
    assert b"<<<<<<<" in code.restore(snapshot)["train.py"][1]
    assert code.restore(snapshot) == files(top)
    assert snapshot.tree == tree_of_everything(top)


def test_a_stale_lock_of_the_index(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / ".git/index.lock", "")
    write(top / "train.py", "2\n")
    assert code.restore(code.take(top)) == files(top)


def test_a_private_index_that_is_broken_is_made_anew(tmp_path, code):
    top = repository(tmp_path / "r")
    code.take(top)
    (kept,) = code.cache.glob("*/index")
    write(kept, b"rubbish")
    (notes,) = code.cache.glob("*/files.json")
    write(top / "train.py", "2\n")
    snapshot = code.take(top)
    assert code.restore(snapshot) == files(top)
    write(notes, "rubbish")
    assert code.restore(code.take(top)) == files(top)


def test_an_index_from_another_machine(tmp_path, code):
    """A repository copied without its times: git would read every file at every start."""
    top = repository(tmp_path / "r")
    shutil.copytree(top, tmp_path / "copy")
    copy = tmp_path / "copy"
    for path in files(copy):
        os.utime(copy / path, (1, 1))
    before = photograph(copy)
    assert code.take(copy).tree == git(copy, "rev-parse", "HEAD^{tree}")
    assert photograph(copy) == before
    (kept,) = code.cache.glob("*/index")
    assert kept.read_bytes() != (copy / ".git/index").read_bytes()  # refreshed, for the next start


# -- the surroundings


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_foreign_owner(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / "train.py", "2\n")
    for path in [top, *top.rglob("*")]:
        os.chown(path, 12345, 12345)
    assert code.restore(code.take(top)) == files(top)


def test_no_identity_and_signing_configured(tmp_path, code):
    top = repository(tmp_path / "r")
    git(top, "config", "commit.gpgsign", "true")
    git(top, "config", "user.useConfigOnly", "true")
    write(top / "train.py", "2\n")
    assert code.restore(code.take(top)) == files(top)


def test_git_dir_of_a_hook(tmp_path, code, monkeypatch):
    top, other = repository(tmp_path / "r"), repository(tmp_path / "other", {"a": "b"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / ".git/objects"))
    before = photograph(other)
    write(top / "train.py", "2\n")
    snapshot = code.take(top)
    assert photograph(other) == before
    assert code.restore(snapshot) == files(top)


ODD = ["a\nb.py", '"quoted".py', "-dash.py", "sp ace.py", "[x]*.py", ":(top)x", "é.py", "tab\t.py"]


@pytest.mark.parametrize("attributes", ["", "* text=auto\n"])
def test_odd_names(tmp_path, code, attributes):
    top = repository(tmp_path / "r", {"sub/back\\slash": "1\n", ".gitattributes": attributes})
    for name in ODD:
        write(top / name, f"{name}\r\n")
    write(Path(os.fsdecode(os.fsencode(top) + b"/latin\xe9.py")), "not utf-8\n")
    git(top, "add", "--", ODD[0], ODD[1])
    snapshot = code.take(top)
    assert code.restore(snapshot) == files(top)
    assert snapshot.tree == tree_of_everything(top)
    assert code.take(top).n_hashed == 0


def test_what_is_no_file(tmp_path, code):
    top = repository(tmp_path / "r")
    os.mkfifo(top / "pipe")
    (top / "train.py").unlink()
    os.mkfifo(top / "train.py")
    os.symlink("/etc/passwd", top / "out")
    os.symlink("/", top / "root")
    (top / "empty").mkdir()
    snapshot = code.take(top)
    restored = code.restore(snapshot)
    assert restored["out"] == ("120000", b"/etc/passwd")
    assert restored["root"] == ("120000", b"/")
    assert [item.path for item in snapshot.left_out] == ["train.py"]
    assert snapshot.omitted == ("train.py",)


def test_an_unreadable_file_is_listed(tmp_path):
    with tempfile.TemporaryDirectory() as folder:  # one that another user may enter
        os.chmod(folder, 0o755)
        top = repository(Path(folder) / "r")
        write(top / "closed.py", "1\n")
        write(top / "open.py", "1\n")
        (top / "closed.py").chmod(0)
        said = _as_nobody(folder, top)
    assert said == "None ('open.py',) closed.py cannot be read: Permission denied"


def _as_nobody(folder, top):
    """Take the snapshot as a user without rights (root may read anything)."""
    for path in [Path(folder), *Path(folder).rglob("*")]:
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)
    out, into = os.pipe()
    if (child := os.fork()) == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            found = take(
                top, f"{folder}/book", private_cache=f"{folder}/cache", limits=Limits(seconds=50)
            )
            left = " ".join(f"{item.path} {item.why}" for item in found.left_out)
            os.write(into, f"{found.reason} {found.files_untracked} {left}".encode())
        finally:
            os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with open(out) as text:
        return text.read()


def test_a_partial_clone_never_goes_to_the_network(tmp_path, code):
    origin = repository(tmp_path / "origin", {"a/x": "1", "b/y": "2"})
    git(origin, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--sparse", f"file://{origin}", "clone")
    snapshot = code.take(tmp_path / "clone")
    assert snapshot.kind == "partial"
    assert "the commit could not be copied" in snapshot.reason
    assert snapshot.tree == git(origin, "rev-parse", "HEAD^{tree}")


def test_sha256_repositories_have_a_reason(tmp_path, code):
    top = tmp_path / "r"
    top.mkdir()
    git(top, "init", "-q", "--object-format=sha256")
    write(top / "a", "1")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "x")
    snapshot = code.take(top)
    assert snapshot.kind == "none"
    assert "SHA-256" in snapshot.reason


def test_a_damaged_repository_has_a_reason(tmp_path, code):
    top = repository(tmp_path / "r")
    for path in (top / ".git/objects").rglob("*"):
        if path.is_file():
            path.unlink()
    snapshot = code.take(top)
    assert snapshot.kind in {"none", "partial"}
    assert snapshot.reason


# -- nothing runs that should not


def _trap(tmp_path):
    trap = tmp_path / "trap"
    write(trap, f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    return trap


def test_hooks_and_monitors_of_the_users_repository_do_not_run(tmp_path, code):
    top, trap = repository(tmp_path / "r"), _trap(tmp_path)
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-auto-gc", "reference-transaction"):
        shutil.copy(trap, top / ".git/hooks" / hook)
    git(top, "config", "core.fsmonitor", str(trap))
    write(top / "train.py", "2\n")
    assert code.take(top).kind == "complete"
    assert not (tmp_path / "sprung").exists()


def test_nothing_of_a_hostile_book_runs(tmp_path, code):
    top, trap = repository(tmp_path / "r"), _trap(tmp_path)
    code.take(top)
    for key in (
        "core.fsmonitor",
        "core.sshCommand",
        "diff.external",
        "core.pager",
        "filter.x.clean",
    ):
        git(code.git, "config", key, str(trap))
    (code.git / "hooks").mkdir()
    for hook in ("post-index-change", "reference-transaction", "pre-commit"):
        shutil.copy(trap, code.git / "hooks" / hook)
    write(code.git / "info/attributes", "* filter=x diff=x\n")
    write(top / "train.py", "2\n")
    snapshot = code.take(top)
    assert code.restore(snapshot) == files(top)
    assert not (tmp_path / "sprung").exists()


def test_a_book_whose_objects_lead_elsewhere_is_not_read(tmp_path, code):
    top = repository(tmp_path / "r")
    snapshot = code.take(top)
    write(code.git / "objects/info/alternates", f"{top}/.git/objects\n")
    with pytest.raises(SnapshotError, match="leads out of the book"):
        code.restore(snapshot)


# -- code that is not in the script's repository


def test_editable_installs_of_other_repositories(tmp_path, code, monkeypatch):
    top, other = repository(tmp_path / "r"), repository(tmp_path / "my lib")
    write(other / "edited.py", "1\n")
    site = tmp_path / "site-packages"
    for name, place, is_editable in (
        ("my_lib", other, True),
        ("this_one", top, True),
        ("copied", other, False),
        ("gone", tmp_path / "gone", True),
    ):
        url = {"url": place.as_uri(), "dir_info": {"editable": is_editable}}
        write(site / f"{name}-1.0.dist-info/direct_url.json", json.dumps(url))
    monkeypatch.setattr(sys, "path", [str(site)])
    limits = Limits(seconds=50)
    found = take_others(top, code.git, limits=limits, private_cache=code.cache)
    assert found.keys() == {"my-lib"}
    assert code.restore(found["my-lib"]) == files(other)


def test_a_notebook_is_recorded_by_the_cells_that_ran(tmp_path, code):
    pytest.importorskip("IPython")
    write(tmp_path / "work/data.csv", "1")
    program = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in ("x = 1", "%time y = x", "from labbook.conditions.snapshot import take",
             "s = take('work', {str(code.git)!r}, private_cache={str(code.cache)!r})"):
    shell.run_cell(cell, store_history=True).raise_error()
print(shell.user_ns["s"].cells)
"""
    out = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(tmp_path / "home")},
        check=True,
        capture_output=True,
        text=True,
    )
    with ObjectReader(code.git) as reader:
        text = reader.read(out.stdout.split()[-1]).decode()
    assert text.startswith("# %% [1]\nx = 1\n\n# %% [2]\n%time y = x\n\n# %% [3]")
    assert "take('work'" in text
