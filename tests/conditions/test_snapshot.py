"""The snapshot of real repositories: equal to what git would commit, and to the bytes on disk."""

import json
import os
import random
import shutil
import subprocess
import sys

import pytest

from labbook.conditions import base, recorder, walk
from labbook.conditions.limits import Deadline
from tests.conditions.gitrepo import (
    files,
    git,
    photograph,
    repository,
    tree_of_everything,
    write,
)


def test_a_clean_tree_is_that_of_the_commit(tmp_path, code):
    top = repository(tmp_path / "r")
    snapshot = code.take(top / "src")
    assert snapshot.kind == "complete"
    assert snapshot.tree == snapshot.base_tree == git(top, "rev-parse", "HEAD^{tree}")
    assert snapshot.base == git(top, "rev-parse", "HEAD")
    assert snapshot.prefix == "src"
    assert (snapshot.files_modified, snapshot.files_untracked, snapshot.left_out) == ((), (), ())
    assert code.restore(snapshot) == files(top)


def test_a_dirty_tree_is_that_of_a_commit_of_everything(tmp_path, code):
    names = ["a.py", "b.py", "c.py", "d/e/f.py", "d/g.py", "mode.sh", "old.py", "dir/x", "file"]
    top = repository(tmp_path / "r", {name: f"{name}\n" * 9 for name in names})
    write(top / ".gitignore", "*.ignored\n")
    write(top / "not.ignored", "no")
    write(top / "a.py", "edited\n")
    write(top / "b.py", b"\x00binary\xff")
    (top / "c.py").unlink()
    shutil.rmtree(top / "d/e")
    (top / "mode.sh").chmod(0o755)
    git(top, "mv", "old.py", "new.py")
    shutil.rmtree(top / "dir")
    write(top / "dir", "a file where a folder was")
    (top / "file").unlink()
    write(top / "file/inside", "a folder where a file was")
    write(top / "new/untracked.py", "1\n")
    write(top / "staged.py", "2\n")
    git(top, "add", "staged.py")
    os.symlink("../nowhere", top / "link")
    snapshot = code.take(top)
    assert snapshot.kind == "complete"
    expected = files(top)
    del expected["not.ignored"]
    assert code.restore(snapshot) == expected
    assert snapshot.tree == tree_of_everything(top)
    assert set(snapshot.files_untracked) == {
        ".gitignore", "dir", "file/inside", "link", "new/untracked.py",
    }  # fmt: skip
    assert set(snapshot.deleted) >= {"c.py", "d/e/f.py", "old.py", "dir/x", "file"}


def test_the_store_is_a_repository_that_git_finds_whole(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / "new.py", "1\n")
    snapshot = code.take(top)
    git(code.git, "fsck", "--full", "--strict")
    git(code.git, "gc", "-q", "--prune=now")
    assert code.restore(snapshot) == files(top)
    assert code.take(top).tree == snapshot.tree  # with packed refs
    assert git(code.git, "rev-parse", f"{snapshot.commit}^{{tree}}") == snapshot.tree


def test_it_survives_rewriting_and_collecting_the_users_repository(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / "train.py", "print(2)\n")
    snapshot, expected = code.take(top), files(top)
    git(top, "commit", "-q", "-a", "--amend", "-m", "rewritten")
    git(top, "checkout", "-q", "--orphan", "other")
    git(top, "rm", "-rfq", ".")
    git(top, "commit", "-q", "--allow-empty", "-m", "nothing")
    git(top, "branch", "-D", "main")
    git(top, "reflog", "expire", "--expire=now", "--all")
    git(top, "gc", "-q", "--prune=now")
    assert code.restore(snapshot) == expected
    shutil.rmtree(top)
    assert code.restore(snapshot) == expected


def test_equal_code_is_stored_once(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / "new.py", "1\n")
    first = code.take(top)
    before = sorted(p.name for p in code.git.rglob("*"))
    assert code.take(top).commit == first.commit
    git(tmp_path, "clone", "-q", "r", "clone")
    write(tmp_path / "clone/new.py", "1\n")
    assert code.take(tmp_path / "clone").commit == first.commit
    assert sorted(p.name for p in code.git.rglob("*")) == before


def test_the_users_repository_is_not_touched(tmp_path, code):
    top = repository(tmp_path / "r")
    os.utime(top / "train.py", (1, 1))  # the user's index would be refreshed by a plain status
    write(top / "src/model.py", "changed\n")
    write(top / "new.py", "1\n")
    git(top, "add", "new.py")
    before = photograph(top)
    for _ in range(2):
        assert code.take(top).kind == "complete"
    assert photograph(top) == before


@pytest.mark.parametrize("seed", range(20))
def test_randomly_dirtied_trees(tmp_path, code, seed):
    """Edits, deletions, renames, modes, links, CRLF under `text=auto`: every byte comes back."""
    draw = random.Random(seed)
    names = [f"{draw.choice('abc')}/{draw.choice('xyz')}/f{i}.txt" for i in range(30)]
    start = {name: "".join(f"line {draw.random()}\n" for _ in range(9)) for name in names}
    top = repository(tmp_path / "r", {**start, ".gitattributes": "* text=auto\n*.crlf eol=crlf\n"})
    for _ in range(3):  # several starts, each with more dirt, on one cache
        for name in draw.sample(names, 8):
            _dirty(top, name, draw)
        write(top / f"new{draw.random()}/n.txt", draw.randbytes(50))
        snapshot = code.take(top)
        assert snapshot.kind == "complete"
        assert code.restore(snapshot) == files(top)
    assert snapshot.tree == tree_of_everything(top)
    assert not any(name.startswith("tmp") for name in os.listdir(code.git))


def _dirty(top, name, draw):
    path = top / name
    kind = draw.choice(["edit", "crlf", "binary", "delete", "rename", "mode", "link", "stage"])
    if kind == "link":
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(f"target {draw.random()}", path)
    elif kind in {"delete", "rename", "mode"}:
        if not path.is_symlink() and path.exists():
            if kind == "delete":
                path.unlink()
            elif kind == "mode":
                path.chmod(path.stat().st_mode ^ 0o111)
            else:
                path.rename(path.with_name(f"renamed{draw.random()}.txt"))
    else:
        if path.is_symlink():
            path.unlink()
        ending = {"crlf": b"\r\n", "binary": b"\0\r\n"}.get(kind, b"\n")
        write(path, b"".join(b"text %f" % draw.random() + ending for _ in range(5)))
        if kind == "stage":
            git(top, "add", name)
            write(path, "and edited again\n")


# -- limits


def test_a_large_untracked_file_is_left_out_before_it_is_read(tmp_path, code):
    top = repository(tmp_path / "r")
    with open(top / "data.bin", "wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing: reading it would not end
    snapshot = code.take(top)
    assert snapshot.kind == "complete"
    (left,) = snapshot.left_out
    assert (left.path, left.bytes, left.why) == ("data.bin", 1 << 40, "larger than 10 MiB")
    assert left.mtime == (top / "data.bin").stat().st_mtime
    assert snapshot.n_hashed == 0
    assert snapshot.tree == git(top, "rev-parse", "HEAD^{tree}")


def test_a_large_modified_file_is_omitted_rather_than_recorded_wrong(tmp_path, code):
    top = repository(tmp_path / "r", {"a.py": "1\n", "weights": "small"})
    write(top / "weights", b"x" * 3000)
    snapshot = code.take(top, file_bytes=2000)
    assert snapshot.omitted == ("weights",)
    assert [item.path for item in snapshot.left_out] == ["weights"]
    assert code.restore(snapshot).keys() == {"a.py"}


def test_a_large_committed_file_costs_nothing(tmp_path, code):
    top = repository(tmp_path / "r", {"a.py": "1\n", "weights": b"x" * 3000})
    snapshot = code.take(top, file_bytes=2000)
    assert (snapshot.left_out, snapshot.n_hashed) == ((), 0)
    assert code.restore(snapshot) == files(top)


def test_the_total_is_limited_the_small_go_first(tmp_path, code):
    top = repository(tmp_path / "r", {"a.py": "1\n"})
    for size in (900, 800, 700, 10):
        write(top / f"u{size}", b"x" * size)
    write(top / "a.py", "y" * 500)
    snapshot = code.take(top, total_bytes=1300)
    assert set(snapshot.files_untracked) == {"u10", "u700"}
    assert {item.path: item.why for item in snapshot.left_out} == {
        "u800": "more than 0.00124 MiB in all",
        "u900": "more than 0.00124 MiB in all",
    }


def test_untracked_files_that_may_hold_secrets_are_left_out(tmp_path, code):
    top = repository(tmp_path / "r", {"a.py": "1\n", "tracked.pem": "public"})
    for name in (".env", ".env.local", "key.pem", "id_rsa", "aws_credentials.json", "d/id_ed25519"):
        write(top / name, "secret")
    write(top / "tracked.pem", "changed")
    snapshot = code.take(top)
    assert snapshot.files_untracked == ()
    assert len(snapshot.left_out) == 6
    assert all("may hold a secret" in item.why for item in snapshot.left_out)
    assert "tracked.pem" in code.restore(snapshot)


def test_a_second_start_reads_nothing_again(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / "big.bin", os.urandom(9 << 20))
    write(top / "train.py", "changed\n")
    first = code.take(top)
    second = code.take(top)
    assert (first.n_hashed, second.n_hashed) == (2, 0)
    assert second.tree == first.tree
    write(top / "train.py", "changed!\n")
    third = code.take(top)
    assert third.n_hashed == 1
    assert third.tree == tree_of_everything(top)


def test_an_edit_that_keeps_size_and_time_within_a_tick_is_seen(tmp_path, code):
    top = repository(tmp_path / "r")
    for i in range(10):
        write(top / "new.py", f"{i}\n")
        snapshot = code.take(top)
        assert code.restore(snapshot)["new.py"][1] == f"{i}\n".encode()


def test_a_book_that_lost_its_code_gets_it_again(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / "new.py", "1\n")
    first = code.take(top)
    shutil.rmtree(code.git)
    again = code.take(top)
    assert again.tree == first.tree
    assert code.restore(again) == files(top)


def test_out_of_time_is_partial_and_the_next_start_completes_it(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / "new.py", "1\n")
    cut = code.take(top, seconds=0.0)
    assert cut.kind in {"partial", "none"}
    assert cut.reason
    for copying in base._BACKGROUND:
        copying.wait(timeout=50)
    whole = code.take(top)
    assert whole.kind == "complete"
    assert code.restore(whole) == files(top)
    git(code.git, "fsck", "--full", "--strict")


def test_out_of_time_while_reading_says_which_files(tmp_path, code, monkeypatch):
    top = repository(tmp_path / "r")
    assert code.take(top).kind == "complete"
    write(top / "new.py", "1\n")
    settle = recorder._let_times_settle

    def until_time_is_up(candidates):
        settle(candidates)
        monkeypatch.setattr(Deadline, "passed", lambda _: True)

    monkeypatch.setattr(recorder, "_let_times_settle", until_time_is_up)
    snapshot = code.take(top)
    monkeypatch.undo()
    assert (snapshot.kind, snapshot.reason) == ("partial", "out of time")
    assert [(item.path, item.why) for item in snapshot.left_out] == [("new.py", "out of time")]


# -- several at once


def test_eight_starts_at_once_all_get_their_snapshot(tmp_path, code):
    top = repository(tmp_path / "r", {f"d{i}/f{i}.py": f"{i}\n" for i in range(200)})
    write(top / "d1/f1.py", "changed\n")
    write(top / "new.py", "1\n")
    program = (
        "import sys; from labbook.conditions.snapshot import take, Limits;"
        "s = take(sys.argv[1], sys.argv[2], private_cache=sys.argv[3], limits=Limits(seconds=50));"
        "print(s.kind, s.tree, s.reason)"
    )
    for _ in range(2):
        children = [
            subprocess.Popen(
                [sys.executable, "-c", program, top, code.git, code.cache],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(8)
        ]
        said = [child.communicate()[0].split() for child in children]
        assert {tuple(words) for words in said} == {("complete", said[0][1], "None")}
    git(code.git, "fsck", "--full", "--strict")
    packs = [p for p in (code.git / "objects/pack").iterdir() if p.suffix == ".pack"]
    assert len(packs) == 1
    assert said[0][1] == tree_of_everything(top)
    leftovers = [p.name for p in code.cache.rglob("*") if p.name.startswith(("index.", "files."))]
    assert set(leftovers) == {"files.json"}


# -- what a store or a folder may be like


def test_a_store_that_cannot_be_written_is_a_reason(tmp_path, code):
    top = repository(tmp_path / "r")
    write(code.git.parent, "a file in the place of the book")
    snapshot = code.take(top)
    assert snapshot.kind == "none"
    assert snapshot.reason.startswith("the code cannot be stored: ")


@pytest.mark.parametrize("where", ["/", "~", "~/.."])
def test_the_root_and_the_home_folder_are_refused(tmp_path, monkeypatch, where, code):
    home = tmp_path / "home/me"
    home.mkdir(parents=True)
    write(home / "secrets", "x")
    monkeypatch.setenv("HOME", str(home))
    snapshot = code.take(os.path.expanduser(where))
    assert snapshot.kind == "none"
    assert "is no folder of one project" in snapshot.reason
    assert not code.git.exists()


def test_a_home_that_is_a_repository_is_refused_too(tmp_path, monkeypatch, code):
    top = repository(tmp_path / "me")
    monkeypatch.setenv("HOME", str(top))
    assert "is no folder of one project" in code.take(top / "src").reason


def test_a_folder_without_a_repository(tmp_path, code):
    top = tmp_path / "project"
    for name in ("train.py", "sub/model.py", "link-target"):
        write(top / name, name)
    os.symlink("link-target", top / "link")
    for name in ("__pycache__/x.pyc", ".venv/lib/y.py", "env/pyvenv.cfg", "env/z.py", ".env"):
        write(top / name, "no")
    snapshot = code.take(top)
    assert snapshot.kind == "complete"
    assert snapshot.base is None
    assert code.restore(snapshot).keys() == {"train.py", "sub/model.py", "link-target", "link"}
    assert [item.path for item in snapshot.left_out] == [".env"]
    assert code.take(top).n_hashed == 0


def test_a_huge_folder_without_a_repository_gives_the_nearest_code(tmp_path, code):
    top = tmp_path / "scratch"
    for name in ("train.py", "zoo/model.py", "elsewhere/book.json", "elsewhere/runs/x.py"):
        write(top / name, name)
    for n in range(1001):
        write(top / f"images/{n}.png", "x")
    write(top / "images/labels.py", "1\n")
    snapshot = code.take(top)
    assert snapshot.kind == "complete"
    assert code.restore(snapshot).keys() == {"train.py", "zoo/model.py", "images/labels.py"}
    (left,) = snapshot.left_out
    assert (left.path, left.why) == ("images/", "1,001 files in one folder")
    cut = code.take(top, files=2)
    said = "more than 2 files in no git repository: the nearest are kept"
    assert (cut.kind, cut.reason) == ("partial", said)
    assert code.restore(cut).keys() == {"train.py", "images/labels.py"}


def test_a_folder_that_takes_long_to_list_leaves_time_for_storing(tmp_path, code, monkeypatch):
    top = tmp_path / "scratch"
    write(top / "train.py", "1\n")
    write(top / "a/b.py", "2\n")
    monkeypatch.setattr(walk, "Deadline", lambda _: Deadline(0))
    snapshot = code.take(top)
    assert (snapshot.kind, snapshot.reason) == ("partial", "out of time")
    assert code.restore(snapshot).keys() == {"train.py"}


def test_without_git_a_folder_is_still_recorded(tmp_path, code, monkeypatch):
    top = tmp_path / "project"
    write(top / "train.py", "1\n")
    monkeypatch.setenv("PATH", "")
    snapshot = code.take(top)
    monkeypatch.undo()
    assert code.restore(snapshot) == files(top)


def test_without_git_a_repository_has_a_reason(tmp_path, code, monkeypatch):
    top = repository(tmp_path / "r")
    monkeypatch.setenv("PATH", "")
    snapshot = code.take(top)
    assert (snapshot.kind, snapshot.reason) == ("none", "git is not installed, or not on PATH")


def test_the_book_is_no_part_of_the_code(tmp_path, code):
    top = repository(tmp_path / "r")
    code.git = top / ".labbook/code.git"
    code.take(top)
    write(top / ".labbook/runs/x.json", "{}")
    snapshot = code.take(top)
    assert snapshot.files_untracked == ()
    assert snapshot.tree == snapshot.base_tree


def test_a_snapshot_is_json(tmp_path, code):
    top = repository(tmp_path / "r")
    write(top / "data.bin", b"x" * 100)
    repository(top / "inner", {"a": "1"})
    found = code.take(top, file_bytes=50).as_condition()
    assert json.loads(json.dumps(found)) == found
    assert found["left_out"][0]["path"] == "data.bin"
    assert found["nested"]["inner"]["reason"] is None
    assert found["nested"]["inner"]["kind"] == "complete"
