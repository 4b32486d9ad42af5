"""The git hooks that are always installed, run by real git; and installing and removing them."""

import json
import os
import shutil
import sys
import time

import pytest

import labbook
from labbook.upkeep import uncommitted
from tests.conditions.gitrepo import photograph
from tests.hooks.conftest import HANG, TRAIN

OURS = ("post-commit", "post-checkout", "post-merge")


def committed(repository, run_id):
    fact = labbook.open(repository.book.root).run(run_id).facts.fact("committed")
    return fact and fact["commit"]


# -- post-commit


def test_a_commit_of_what_ran_marks_the_run_as_committed(repository):
    repository.hooks("install")
    run_id = repository.train()
    said = repository.commit()
    sha = repository.head()
    assert committed(repository, run_id) == sha
    assert f"labbook: committed as {sha[:7]}: train-{run_id[-6:]} ({run_id})" in said


def test_a_commit_of_anything_else_marks_and_says_nothing(repository):
    repository.hooks("install")
    run_id = repository.train()
    repository.write("train.py", "not what ran\n")
    assert repository.commit() == ""
    assert committed(repository, run_id) is None


def test_a_part_of_what_ran_is_not_what_ran(repository):
    repository.hooks("install")
    repository.write("other.py", "x = 1\n")
    run_id = repository.train()
    repository.git("commit", "-q", "-m", "only one of two", "train.py")
    assert committed(repository, run_id) is None
    repository.commit()
    assert committed(repository, run_id) == repository.head()


def test_an_amended_commit_is_the_one_that_counts(repository):
    repository.hooks("install")
    run_id = repository.train()
    repository.commit()
    first = repository.head()
    repository.git("commit", "-q", "--amend", "-m", "better said")
    assert committed(repository, run_id) == repository.head() != first


def test_a_rebased_commit_is_the_one_that_counts(repository):
    repository.hooks("install")
    run_id = repository.train()
    repository.commit()
    first = repository.head()
    later = {"GIT_COMMITTER_DATE": "2030-01-01T00:00:00Z"}
    repository.git("rebase", "-q", "--force-rebase", "HEAD^", **later)
    assert committed(repository, run_id) == repository.head() != first


def test_in_a_linked_worktree(repository, tmp_path):
    repository.hooks("install")
    other = tmp_path / "other worktree"
    repository.git("worktree", "add", "-q", "-b", "other", str(other))
    place = type(repository)(other)
    run_id = place.train()
    place.git("add", "-A")
    said = place.git("commit", "-q", "-m", "there").stderr
    assert committed(place, run_id) == place.head()
    assert run_id in said


def test_a_book_elsewhere_is_built_in(repository, tmp_path):
    book = tmp_path / "it's a $book"
    repository.script.book = repository.book = type(repository.book)(book)
    repository.hooks("install", "--book", str(book))
    run_id = repository.train()
    assert run_id in repository.commit()


@pytest.mark.timeout(120)
def test_the_best_run_that_is_in_no_commit_is_named_once(repository):
    repository.hooks("install")
    code = TRAIN.replace("loss=1.0", "val_loss=VALUE")
    repository.train(code.replace("VALUE", "0.5"))
    best = repository.train(code.replace("VALUE", "0.25"))
    repository.train(code.replace("VALUE", "0.75"))
    assert "best run" not in repository.commit()
    wait_for(repository.book.root / ".uncommitted")
    repository.write("x.py", "")
    assert repository.commit() == (
        f"labbook: the best run by val_loss (0.25), as of the last commit, is train-{best[-6:]} "
        f"({best}): its code is in the book, but in no commit\n"
    )
    assert not (repository.book.root / ".uncommitted").exists()
    uncommitted.look(repository.book)  # what the hook leaves to a process behind it
    assert not (repository.book.root / ".uncommitted").exists()


def test_the_best_run_is_not_named_when_its_code_came_into_a_commit_meanwhile(repository):
    code = TRAIN.replace("loss=1.0", "val_loss=VALUE")
    repository.train(code.replace("VALUE", "0.5"))
    repository.train(code.replace("VALUE", "0.25"))
    uncommitted.look(repository.book)
    repository.hooks("install")
    said = repository.commit()
    assert "committed as" in said
    assert "best run" not in said


def wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.05)


# -- post-checkout and post-merge


SAID = (
    "labbook: the code here is not what long ({}), still running, began with. What it has not "
    "imported yet will be imported as it is now\n"
)


@pytest.fixture
def two_branches(repository, live):
    """`main` has the code of a run that is live; `side` has other code."""
    repository.write("lazy.py", "x = 1\n")
    repository.script.write(HANG)
    repository.commit()
    repository.git("checkout", "-q", "-b", "side")
    repository.write("lazy.py", "x = 2\n")
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.hooks("install")
    return live()


def test_a_checkout_of_other_code_names_the_live_run(repository, two_branches):
    assert repository.git("checkout", "-q", "side").stderr == SAID.format(two_branches)
    assert repository.git("checkout", "-q", "main").stderr == ""  # its own code again
    assert repository.git("checkout", "-q", "-b", "third").stderr == ""
    said = repository.git("checkout", "side", "--", "lazy.py").stderr
    assert SAID.format(two_branches) in said


def test_a_merge_of_other_code_names_the_live_run(repository, two_branches):
    assert SAID.format(two_branches) in repository.git("merge", "-q", "--no-ff", "side").stderr


def test_a_pull_names_the_live_run(repository, two_branches):
    said = repository.git("pull", "-q", "--no-rebase", ".", "side").stderr
    assert SAID.format(two_branches) in said


def test_a_run_that_ended_is_not_named(repository):
    repository.hooks("install")
    repository.train()
    repository.commit()
    assert repository.git("checkout", "-q", "HEAD^").stderr == ""


def test_a_run_of_another_place_is_not_named(repository, tmp_path, live):
    repository.hooks("install")
    repository.git("branch", "side")
    repository.script.write(HANG)
    repository.commit()
    live()
    other = tmp_path / "other"
    book = str(repository.book.root)
    said = repository.git("worktree", "add", "-q", str(other), "side", LABBOOK_DIR=book).stderr
    assert said == ""


# -- what they must not do


@pytest.mark.parametrize("python", ["gone", "without labbook"])
def test_git_works_in_silence_when_labbook_is_gone(repository, live, python):
    repository.hooks("install", "--with", "all")
    repository.script.write(HANG)
    repository.commit()
    live()
    for path in (repository.top / ".git/hooks").iterdir():
        if path.name.endswith(".sample"):
            continue
        text = path.read_text()
        assert sys.executable in text
        other = "/nowhere/python" if python == "gone" else shutil.which("true")
        path.write_text(text.replace(sys.executable, other))
    repository.write("more.py", "")
    assert repository.commit() == ""
    assert repository.git("checkout", "-q", "HEAD^").stderr == ""
    assert repository.git("checkout", "-q", "main").stderr == ""


def test_git_works_in_silence_without_a_book(repository):
    repository.hooks("install", "--with", "all")
    repository.write("x.py", "")
    assert repository.commit() == ""
    assert repository.git("checkout", "-q", "HEAD^").stderr == ""


def test_a_book_that_cannot_be_written_stops_no_commit(repository):
    repository.hooks("install")
    run_id = repository.train()
    meta = repository.book.run(run_id).meta
    shutil.rmtree(meta, ignore_errors=True)
    meta.write_text("no folder")
    assert repository.commit() == ""


def test_what_is_in_a_book_is_not_run_by_a_shell(repository, tmp_path, live):
    repository.hooks("install", "--with", "all")
    trap = tmp_path / "sprung"
    live()
    for name in (f"x; touch {trap}", f"$(touch {trap})", "-delete", f"-exec touch {trap} ;"):
        journal = repository.book.runs / name.replace("/", "_") / "journal"
        journal.mkdir(parents=True)
        (journal / "a.lbj").write_text("")
    conditions = repository.book.run(repository.book.run_ids()[0]).attempts / "1"
    for path in conditions.glob("*.json"):
        found = json.loads(path.read_text())
        path.write_text(json.dumps(found | {"script": f"$(touch {trap})\x1b[31m"}))
    said = repository.commit() + repository.git("checkout", "-q", "HEAD^").stderr
    assert not list(tmp_path.rglob("sprung"))
    assert "\x1b" not in said


# -- installing, chaining, removing


@pytest.mark.parametrize("status", [0, 7])
def test_a_hook_that_was_there_runs_first_and_comes_back_byte_for_byte(repository, status):
    hooks = repository.top / ".git/hooks"
    own = {}
    for name in (*OURS, "pre-commit"):
        body = f'#!/bin/sh\necho "$0 $*" >> "$PWD/ran"\nexit {status if name in OURS else 0}\n'
        own[name] = repository.write(f".git/hooks/{name}", body, 0o755)
    before = photograph(hooks)
    said = repository.hooks("install", "--with", "pre-commit")
    assert "post-commit: labbook, after the hook that was there" in said
    run_id = repository.train()
    (repository.top / "ran").unlink(missing_ok=True)
    repository.git("add", "train.py")
    assert run_id in repository.git("commit", "-q", "-m", "two").stderr
    repository.git("checkout", "-q", "HEAD^", check=False)
    ran = (repository.top / "ran").read_text().splitlines()
    assert [line.split("/")[-1].split()[0] for line in ran] == [
        "pre-commit.before-labbook", "post-commit.before-labbook", "post-checkout.before-labbook",
    ]  # fmt: skip
    assert len(ran[2].split()) == 4  # with its arguments: two commits and a flag
    repository.hooks("uninstall")
    after = photograph(hooks)
    assert {k: (v[0], v[1], v[3]) for k, v in after.items()} == {
        k: (v[0], v[1], v[3]) for k, v in before.items()
    }


def test_a_hook_that_was_there_still_refuses_a_commit(repository):
    repository.write(".git/hooks/pre-commit", "#!/bin/sh\necho no >&2\nexit 3\n", 0o755)
    repository.hooks("install", "--with", "all")
    repository.write("x.py", "")
    repository.git("add", "x.py")
    done = repository.git("commit", "-q", "-m", "x", check=False)
    assert (done.returncode, done.stderr) == (1, "no\n")


def test_a_hooks_folder_of_the_users_own(repository, tmp_path):
    own = tmp_path / "my hooks"
    own.mkdir()
    repository.git("config", "core.hooksPath", str(own))
    said = repository.hooks("install")
    assert f"{own} is not this repository's own (core.hooksPath)" in said
    run_id = repository.train()
    assert run_id in repository.commit()
    assert not any((repository.top / ".git/hooks" / name).exists() for name in OURS)
    repository.hooks("uninstall")
    assert list(own.iterdir()) == []


def test_a_hooks_folder_in_the_working_tree_is_told(repository):
    repository.write(".githooks/post-commit", "#!/bin/sh\necho mine >> .git/ran\n", 0o755)
    repository.commit()
    repository.git("config", "core.hooksPath", ".githooks")
    before = photograph(repository.top / ".githooks")
    said = repository.hooks("install")
    assert ".githooks lies in the working tree (core.hooksPath)" in said
    run_id = repository.train()
    assert run_id in repository.commit()
    assert (repository.top / ".git/ran").read_text() == "mine\n"
    repository.hooks("uninstall")
    after = photograph(repository.top / ".githooks")
    assert {k: v[3] for k, v in after.items()} == {k: v[3] for k, v in before.items()}


def test_hooks_of_a_linked_worktree_are_those_of_the_repository(repository, tmp_path):
    other = tmp_path / "other"
    repository.git("worktree", "add", "-q", "-b", "other", str(other))
    said = repository.hooks("install", cwd=other)
    assert "core.hooksPath" not in said
    assert (repository.top / ".git/hooks/post-commit").exists()


def test_a_hook_of_husky_is_left_alone(repository):
    text = '#!/bin/sh\n. "$(dirname "$0")/h"\n'
    path = repository.write(".git/hooks/post-commit", text, 0o755)
    said = repository.hooks("install", status=1)
    assert "goes by the name it is called under: left alone" in said
    assert path.read_text() == text


def test_a_hook_that_somebody_edited_is_theirs(repository):
    repository.hooks("install")
    path = repository.top / ".git/hooks/post-commit"
    path.write_text(path.read_text() + "echo more\n")
    edited = path.read_bytes()
    assert "was edited after labbook put it in" in repository.hooks("install", status=1)
    assert "was edited" in repository.hooks("uninstall", status=1)
    assert path.read_bytes() == edited


def test_status_and_uninstall_leave_nothing_behind(repository):
    folder = repository.top / ".git/hooks"
    before = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    repository.hooks("install")
    repository.hooks("install")  # again changes nothing
    assert "post-commit: labbook\n" in repository.hooks("status")
    assert "pre-push: -\n" in repository.hooks("status")
    found = {
        hook["name"]: hook["state"] for hook in json.loads(repository.hooks("status", "--json"))
    }
    assert {name for name, state in found.items() if state == "ours"} == set(OURS)
    repository.hooks("uninstall")
    assert sorted(p.name for p in folder.iterdir()) == before
    assert "no hook of labbook is here" in repository.hooks("uninstall")


def test_no_repository_is_a_clear_error(tmp_path, repository):
    assert not os.environ.get("GIT_DIR")
    outside = tmp_path / "outside"
    outside.mkdir()
    repository.hooks("install", status=2, cwd=outside)
