"""`labbook.start()`: what is on disk when it returns, what it says, what it refuses."""

import json
import os
import stat
import subprocess
import sys

import pytest

import labbook
from labbook.errors import DirtyTreeError, MisuseError, StoreError
from tests.client.conftest import conditions_of, end_of
from tests.on_terminal import on_terminal

TRAIN = """
    import argparse, labbook
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--layers", type=int, nargs="*", default=[64, 32])
    args = parser.parse_args()
    run = labbook.start()
    run.log(loss=1.0)
"""


def git(folder, *args):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *args], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_identity_and_conditions_are_on_disk_before_start_returns(script):
    done = script.run(
        """
        import argparse, os, labbook
        args = argparse.ArgumentParser().parse_args()
        args.lr = 0.1
        labbook.start(name="first", group="g", tags=["a", "b"], notes="why")
        os._exit(0)
        """
    )
    assert done.returncode == 0, done.stderr
    run = script.only()
    identity = json.loads(run.run_json.read_text())
    assert identity["id"] == run.id
    assert (identity["name"], identity["group"], identity["tags"]) == ("first", "g", ["a", "b"])
    assert run.notes.read_text() == "why\n"
    conditions = conditions_of(run)
    assert conditions["arguments"]["values"] == {"lr": 0.1}
    assert conditions["script"] == str(script.folder / "train.py")
    assert conditions["command"][-1].endswith("train.py")
    assert conditions["packages"]["pyarrow"]
    assert conditions["python"]["version"]
    assert conditions["machine"]["cores"] >= 1
    assert conditions["git"] is None
    assert "not in a git repository" in conditions["git_reason"]


def test_the_book_is_private_and_ignores_itself_in_git(script):
    git(script.folder, "init", "-q")
    done = script.run(TRAIN, LABBOOK_DIR="")
    assert done.returncode == 0, done.stderr
    book = script.folder / ".labbook"
    assert stat.S_IMODE(book.stat().st_mode) == 0o700
    status = subprocess.check_output(["git", "status", "--porcelain"], cwd=script.folder, text=True)
    assert status.split() == ["??", "train.py"]


def test_a_dirty_tree_is_said_once_with_its_files(script):
    git(script.folder, "init", "-q")
    script.write(TRAIN)
    git(script.folder, "add", ".")
    git(script.folder, "commit", "-qm", "x")
    (script.folder / "new.py").write_text("")
    done = script.run(TRAIN + "    # changed\n", "--lr", "0.5")
    lines = [line for line in done.stderr.splitlines() if "dirty" in line]
    assert len(lines) == 1
    assert "train.py (modified), new.py (untracked)" in lines[0]
    assert "1 modified, 1 untracked" in done.stderr
    assert "2 arguments from argparse.Namespace" in done.stderr
    dirty = conditions_of(script.only())["git"]["dirty"]
    assert {(entry["path"], entry["status"]) for entry in dirty} == {
        ("train.py", "modified"),
        ("new.py", "untracked"),
    }


def test_the_line_of_a_start(script):
    git(script.folder, "init", "-q")
    script.write(TRAIN)
    names = [f"{n}.py" for n in range(3)]
    for name in names:
        (script.folder / name).write_text("x = 1\n")
    git(script.folder, "add", ".")
    git(script.folder, "commit", "-qm", "x")
    commit = git(script.folder, "rev-parse", "HEAD")[:7]
    for name in names:
        (script.folder / name).write_text("x = 2\n")
    (script.folder / "new.py").write_text("")
    with open(script.folder / "data.bin", "wb") as file:
        file.truncate(1_200_000_000)
    done = script.run(TRAIN, LABBOOK_NAME="wide")
    line, dirt = done.stderr.splitlines()
    assert line == (
        f"labbook: run {script.only().id} (wide) · code {commit} + 3 modified, 2 untracked "
        "(1 left out: data.bin 1.2 GB) · 2 arguments from argparse.Namespace 'args' in train.py"
    )
    assert dirt == (
        "labbook: the working tree is dirty: 0.py (modified), 1.py (modified), 2.py (modified), "
        "data.bin (untracked), new.py (untracked). Commit it, so that this run can be found again: "
        "git add new.py && git commit -a"
    )


def test_on_a_terminal_the_lines_fit_and_the_command_can_be_copied(script):
    git(script.folder, "init", "-q")
    script.write(TRAIN)
    git(script.folder, "add", ".")
    git(script.folder, "commit", "-qm", "x")
    names = [f"a_module_with_a_name_{n}.py" for n in range(3)]
    for name in names:
        (script.folder / name).write_text("x = 1\n")
    words = [sys.executable, "train.py"]
    lines = on_terminal(words, cwd=script.folder, environment=script.environment())
    command = f"git add {' '.join(names)} && git commit -a"
    assert lines[0].startswith(f"labbook: run {script.only().id} (")
    assert f"  {command}" in lines
    told = [line for line in lines if command not in line]
    assert max(map(len, told)) <= 80
    assert "2 arguments from argparse.Namespace 'args' in train.py" in " ".join(
        line.strip() for line in told
    )


def test_a_plain_folder_whose_code_is_kept_in_part_says_so(script):
    for n in range(1001):
        (script.folder / f"{n}.png").write_text("")
    done = script.run(TRAIN)
    assert (
        "is not in a git repository (1 left out: ./ (1,001 files in one folder)) ·" in done.stderr
    )


def test_dirty_refuse_stops_before_anything_is_written(script):
    git(script.folder, "init", "-q")
    done = script.run(TRAIN, LABBOOK_DIRTY="refuse")
    assert done.returncode == 1
    assert DirtyTreeError.__name__ in done.stderr
    assert (
        "uncommitted changes: train.py (untracked). Commit them "
        "(git add train.py && git commit -a), or start with dirty='warn'"
    ) in done.stderr
    assert not script.book.runs.exists()


def test_a_clean_tree_says_nothing_about_dirt(script):
    git(script.folder, "init", "-q")
    script.write(TRAIN)
    git(script.folder, "add", ".")
    git(script.folder, "commit", "-qm", "x")
    done = script.run(TRAIN)
    assert "dirty" not in done.stderr
    conditions = conditions_of(script.only())
    assert conditions["git"]["dirty"] == []
    assert len(conditions["git"]["commit"]) == 40


def test_an_empty_repository_is_recorded_without_a_commit(script):
    git(script.folder, "init", "-q")
    done = script.run(TRAIN)
    assert done.returncode == 0
    assert conditions_of(script.only())["git"]["commit"] is None
    assert "code without a commit" in done.stderr


def test_no_git_repository_is_said_and_no_fault(script):
    done = script.run(TRAIN)
    assert done.returncode == 0
    assert "not in a git repository" in done.stderr


def test_a_second_start_is_refused_until_the_first_is_finished(start):
    first = start()
    with pytest.raises(MisuseError) as refused:
        start()
    assert str(refused.value) == (
        f"run {first.id} is still being recorded in this process: call run.finish() "
        "before labbook.start(), or use `with labbook.start() as run:`"
    )
    first.finish()
    assert start().id != first.id


def test_a_book_that_cannot_be_written_is_a_clear_error(script):
    (script.folder / "file").write_text("")
    done = script.run(TRAIN, LABBOOK_DIR=str(script.folder / "file" / "book"))
    assert done.returncode == 1
    assert f"cannot write the book at {script.folder}/file/book: Not a directory" in done.stderr
    assert "LABBOOK_DIR or start(book=...)" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_a_clear_error(tmp_path, start):
    folder = tmp_path / "ro"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        start(book=folder / "book")


def test_a_read_only_file_system_is_a_clear_error(start):
    """/proc takes no folders, not even root's."""
    with pytest.raises(StoreError, match="cannot write the book at /proc/book"):
        start(book="/proc/book")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dirty": "maybe"}, "dirty='maybe': expected one of warn, refuse, allow"),
        ({"tags": [1]}, "start(tags=...) must be a list of text"),
        ({"name": 3}, "start(name=...) must be text, got int"),
        ({"gauges": -1}, "start(gauges=...) is seconds between samples"),
        ({"seed": "x"}, "start(seed=...) must be a whole number"),
        ({"output": "pipe"}, "start(output=...) must be True, False or 'fd'"),
        ({"book": 3}, "start(book=...) must be a path, got int"),
    ],
)
def test_wrong_arguments_are_clear_errors(start, options, words):
    with pytest.raises(MisuseError) as refused:
        start(**options)
    assert words in str(refused.value)


def test_the_environment_fills_in_and_an_argument_wins(start, monkeypatch):
    monkeypatch.setenv("LABBOOK_NAME", "from-environment")
    monkeypatch.setenv("LABBOOK_TAGS", "x, y")
    monkeypatch.setenv("LABBOOK_GROUP", "g")
    run = start(group="mine")
    identity = json.loads(run.paths.run_json.read_text())
    assert (identity["name"], identity["tags"]) == ("from-environment", ["x", "y"])
    assert identity["group"] == "mine"


def test_args_come_back_unmasked_and_are_stored_masked(start):
    key = "sk-abcdefghijklmnopqrstuvwx"
    run = start({"api_key": key, "max_tokens": 4096})
    assert run.args["api_key"] == key
    text = next(iter((run.paths.attempts / "1").glob("r0-*.json"))).read_text()
    assert key not in text
    assert json.loads(text)["arguments"]["values"]["max_tokens"] == 4096


def test_run_ids_do_not_depend_on_the_seed(start):
    import random

    random.seed(0)
    first = start()
    first.finish()
    random.seed(0)
    assert start().id[-6:] != first.id[-6:]


def test_seed_is_set_and_recorded(start):
    import random

    start(seed=7)
    drawn = random.random()
    assert drawn == random.Random(7).random()


def test_mode_off_records_nothing_and_the_program_still_works(script):
    done = script.run(
        """
        import argparse, sys, labbook, torch
        args = argparse.Namespace(lr=0.5)
        before = set(sys.modules)
        with labbook.start() as run:
            assert run.args == {"lr": 0.5}, run.args
            run.log(loss="not even checked")
            run.series("loss")(1.0)
            run.event("x"); run.axis("epoch"); run.watch("*.pt")
            chosen = run.choose(list(range(10)), n=3)
            chosen.observe(None, None)
            path = run.save({"w": torch.ones(2)}, step=3)
            assert torch.equal(torch.load(path, weights_only=True)["w"], torch.ones(2))
        new = set(sys.modules) - before
        print([m for m in ("pyarrow", "psutil", "pynvml", "git") if m in new])
        """,
        LABBOOK_MODE="off",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert not script.book.root.exists()
    assert done.stderr == ""


def test_a_wrong_mode_is_a_clear_error(script):
    done = script.run(TRAIN, LABBOOK_MODE="maybe")
    assert "LABBOOK_MODE='maybe': expected 'on' or 'off'" in done.stderr


def test_log_before_start_is_a_clear_error(script):
    done = script.run("import labbook; labbook.log(loss=1.0)")
    assert "no run yet: call labbook.start() first" in done.stderr


def test_end_json_names_the_faults(start):
    run = start()
    run._journal.fault("seal", "something")
    run.finish()
    assert end_of(run.paths)["faults"] == {"seal": 1}


def test_the_version_is_one(start):
    from importlib.metadata import version

    assert labbook.__version__ == version("labbook")
