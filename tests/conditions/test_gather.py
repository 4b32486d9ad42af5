import json
import os
import subprocess
import sys

from labbook.conditions.gather import gather, gather_with_code
from tests.conditions.gitrepo import git, repository

FIELDS = {
    "host", "boot_id", "pid_namespace", "pid", "pid_started", "command", "cwd", "script",
    "arguments", "packages", "python", "machine", "environment", "seeds", "git", "git_reason",
}  # fmt: skip


def test_every_field_is_there_and_is_json(tmp_path):
    top = repository(tmp_path / "r")
    found = gather(None, {"lr": 0.1, "api_key": "0123456789abcdef"}, top)
    assert found.keys() == FIELDS
    assert found["git"]["commit"] == git(top, "rev-parse", "HEAD")
    assert found["git_reason"] is None
    assert found["arguments"]["values"] == {"lr": 0.1, "api_key": "***"}
    assert found["pid"] == os.getpid()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_script_with_a_secret_behind_a_short_option(tmp_path):
    top = repository(tmp_path / "r")
    script = top / "train.py"
    script.write_text(
        "import argparse, json, os, sys\n"
        "from labbook.conditions.gather import gather\n"
        "p = argparse.ArgumentParser()\n"
        "p.add_argument('-k', dest='api_key')\n"
        "args = p.parse_args()\n"
        "os.chdir('/')\n"
        "print(json.dumps(gather(sys._getframe())))\n"
    )
    out = subprocess.run(
        [sys.executable, "train.py", "-k", "correcthorsebattery"],
        cwd=top,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "correcthorse" not in out.stdout
    found = json.loads(out.stdout)
    assert found["command"][-3:] == ["train.py", "-k", "***"]
    assert found["script"] == str(script)
    # the program has changed its working directory, the code is still where the script is
    assert found["git"]["dirty"] == [{"path": "train.py", "status": "modified"}]
    assert found["arguments"]["source"] == "argparse.Namespace 'args' in train.py"


def test_without_a_repository_the_reason_is_said(tmp_path):
    found = gather(None, None, tmp_path)
    assert found["git"] is None
    assert found["git_reason"] == f"{tmp_path} is not in a git repository"


def test_conditions_with_the_code_ask_git_once(tmp_path):
    top = repository(tmp_path / "r")
    git(top, "remote", "add", "origin", "https://me:secret@example.org/r.git")
    git(top, "tag", "v1")
    (top / "train.py").write_text("print(2)\n")
    (top / "new.py").write_text("1\n")
    place = {"code_git": tmp_path / "book/code.git", "private_cache": tmp_path / "cache"}
    found, snapshot = gather_with_code(None, {"lr": 1}, top, **place)
    assert found.keys() == FIELDS | {"snapshot", "editable"}
    assert found["git"] == gather(None, {"lr": 1}, top)["git"]
    assert found["git"]["remote"] == "https://example.org/r.git"
    assert found["git"]["describe"] == "v1"
    assert found["git_reason"] is None
    assert snapshot.kind == "complete"
    assert found["snapshot"]["tree"] == snapshot.tree
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_conditions_with_the_code_of_a_plain_folder(tmp_path):
    top = tmp_path / "project"
    top.mkdir()
    (top / "train.py").write_text("1\n")
    place = {"code_git": tmp_path / "book/code.git", "private_cache": tmp_path / "cache"}
    found, snapshot = gather_with_code(None, None, top, **place)
    assert (found["git"], found["git_reason"]) == (None, f"{top} is not in a git repository")
    assert (snapshot.kind, snapshot.files_untracked) == ("complete", ("train.py",))


def test_conditions_are_gathered_where_no_code_can_be_stored(tmp_path):
    top = repository(tmp_path / "r")
    (tmp_path / "book").write_text("in the way")
    place = {"code_git": tmp_path / "book/code.git", "private_cache": tmp_path / "cache"}
    found, snapshot = gather_with_code(None, None, top, **place)
    assert snapshot.kind == "none"
    assert found["git"]["commit"] == git(top, "rev-parse", "HEAD")
