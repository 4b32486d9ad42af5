"""`labbook restore`: real runs, after their repository changed; hostile books; what is printed."""

import json
import os
import shutil

import pytest

from tests.conditions.gitrepo import files, git, photograph, repository, write
from tests.restore.conftest import ROOT, TRAIN, Lab


def test_a_dirty_run_comes_back_after_the_repository_forgot_it(lab, tmp_path):
    write(lab.top / "train.py", TRAIN + "# edited\n")
    write(lab.top / "new.py", "new = 1\n")
    write(lab.top / "x.ignored", "not code")
    run_id = lab.train()
    expected = files(lab.top)
    write(lab.top / "train.py", "import nothing\n")
    (lab.top / "new.py").unlink()
    git(lab.top, "checkout", "-q", "--orphan", "other")
    git(lab.top, "rm", "-rfq", ".")
    git(lab.top, "commit", "-q", "--allow-empty", "-m", "nothing")
    git(lab.top, "branch", "-D", "main")
    git(lab.top, "reflog", "expire", "--expire=now", "--all")
    git(lab.top, "gc", "-q", "--prune=now")
    before = photograph(lab.top)
    result = lab.labbook("restore", run_id[:15], tmp_path / "out/here")
    assert result.exit_code == 0, result.output
    assert photograph(lab.top) == before
    found = files(tmp_path / "out/here")
    lock = found.pop("labbook.lock")[1].decode()
    for left in ("x.ignored", *[name for name in expected if name.startswith(".labbook")]):
        expected.pop(left)
    assert found == expected
    assert len(result.output.splitlines()) == 1
    assert result.output.startswith(f"restored {run_id} (train-")
    assert "3 files" in result.output
    assert f"\n# python {lab.conditions(run_id)['python']['version']} (cpython)\n" in lock
    packages = lab.conditions(run_id)["packages"]
    assert f"\ntorch=={packages['torch']}\n" in lock


def test_json(lab, tmp_path):
    write(lab.top / "big.bin", b"x" * (11 << 20))
    run_id = lab.train()
    result = lab.labbook("restore", run_id, tmp_path / "out", "--json")
    found = json.loads(result.output)
    assert found["run"] == run_id
    assert found["commit"] == git(lab.top, "rev-parse", "HEAD")
    assert (found["files"], found["kind"], found["added"]) == (2, "complete", ["labbook.lock"])
    assert [(item["path"], item["bytes"]) for item in found["missing"]] == [("big.bin", 11 << 20)]


def test_what_is_missing_is_said(lab, tmp_path):
    write(lab.top / "big.bin", b"x" * (11 << 20))
    result = lab.labbook("restore", lab.train(), tmp_path / "out")
    assert result.exit_code == 0
    assert "; 1 missing" in result.output
    assert "missing: big.bin (" in result.output
    assert "larger than 10 MiB" in result.output


def test_a_folder_that_is_not_empty_is_refused(lab, tmp_path):
    run_id = lab.train()
    write(tmp_path / "out/x", "mine")
    result = lab.labbook("restore", run_id, tmp_path / "out")
    assert result.exit_code == 2
    assert "is not empty (it holds 'x')" in result.output
    assert files(tmp_path / "out") == {"x": ("100644", b"mine")}


def test_an_empty_folder_that_is_there_is_used(lab, tmp_path):
    (tmp_path / "out").mkdir()
    assert lab.labbook("restore", lab.train(), tmp_path / "out").exit_code == 0


def test_a_tree_with_a_lock_of_its_own_keeps_it(lab, tmp_path):
    write(lab.top / "labbook.lock", "of an earlier restore\n")
    run_id = lab.train()
    assert lab.labbook("restore", run_id, tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/labbook.lock").read_text() == "of an earlier restore\n"
    assert (tmp_path / f"out/labbook-{run_id}.lock").exists()


def test_a_script_outside_any_repository(tmp_path):
    lab = Lab(tmp_path / "plain")
    write(lab.top / "train.py", TRAIN)
    write(lab.top / "lib/model.py", b"x = 1\r\n")
    run_id = lab.train()
    assert lab.labbook("restore", run_id, tmp_path / "out").exit_code == 0
    found = files(tmp_path / "out")
    assert (found["train.py"][1], found["lib/model.py"][1]) == (TRAIN.encode(), b"x = 1\r\n")


def test_a_run_without_code(lab, tmp_path):
    run_id = lab.train()
    lab.spoil(run_id, snapshot={"kind": "none", "reason": "git is not installed"})
    result = lab.labbook("restore", run_id, tmp_path / "out")
    assert result.exit_code == 1
    assert "has no code to restore: git is not installed" in result.output
    assert not (tmp_path / "out").exists()


def test_a_later_attempt_and_one_that_is_not_there(lab, tmp_path):
    run_id = lab.train()
    write(lab.top / "train.py", TRAIN.replace("gauges=None", "gauges=None, resume='auto'"))
    lab.python("train.py", LABBOOK_RUN_ID=run_id)
    assert lab.labbook("restore", run_id, tmp_path / "two").exit_code == 0
    assert lab.labbook("restore", run_id, tmp_path / "one", "--attempt", 1).exit_code == 0
    assert "resume" in (tmp_path / "two/train.py").read_text()
    assert (tmp_path / "one/train.py").read_text() == TRAIN
    result = lab.labbook("restore", run_id, tmp_path / "three", "--attempt", 3)
    assert result.exit_code == 1
    assert "has no attempt 3; it has: 1, 2" in result.output


def test_editable_installs_of_other_repositories(lab, tmp_path):
    other = repository(tmp_path / "other", {"src/lib.py": "x = 1\n"})
    site = tmp_path / "site/lib-0.1.dist-info"
    url = json.dumps({"url": f"file://{other}", "dir_info": {"editable": True}})
    write(site / "direct_url.json", url)
    write(other / "src/lib.py", "x = 2  # edited\n")
    run_id = lab.train(PYTHONPATH=os.pathsep.join([str(ROOT), str(tmp_path / "site")]))
    write(other / "src/lib.py", "x = 3\n")
    result = lab.labbook("restore", run_id, tmp_path / "o", "--editable", tmp_path / "e")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "e/lib/src/lib.py").read_text() == "x = 2  # edited\n"
    assert "# lib==0.1 was installed in editable mode" in (tmp_path / "o/labbook.lock").read_text()


# -- books from elsewhere


def test_a_hostile_store_executes_nothing(lab, tmp_path):
    run_id = lab.train()
    trap = tmp_path / "sprung"
    code = lab.book / "code.git"
    write(
        code / "config",
        f"[core]\n\tbare = true\n\tfsmonitor = touch {trap}\n\thooksPath = {tmp_path}/hooks\n"
        f"\tsshCommand = touch {trap}\n[diff]\n\texternal = touch {trap}\n"
        f'[filter "x"]\n\tsmudge = touch {trap}\n\tprocess = touch {trap}\n'
        f"[uploadpack]\n\tpackObjectsHook = touch {trap}\n[include]\n\tpath = /etc/passwd\n",
    )
    write(code / "info/attributes", "* filter=x diff=x\n")
    for hook in ("post-checkout", "reference-transaction", "fsmonitor-watchman"):
        write(tmp_path / "hooks" / hook, f"#!/bin/sh\ntouch {trap}\n")
        (tmp_path / "hooks" / hook).chmod(0o755)
        shutil.copytree(tmp_path / "hooks", code / "hooks", dirs_exist_ok=True)
    assert lab.labbook("restore", run_id, tmp_path / "out").exit_code == 0
    assert not trap.exists()


def test_a_store_that_leads_elsewhere_is_refused(lab, tmp_path):
    run_id = lab.train()
    write(lab.book / "code.git/objects/info/alternates", f"{tmp_path}/objects\n")
    result = lab.labbook("restore", run_id, tmp_path / "out")
    assert result.exit_code == 1
    assert "leads out of the book" in result.output


def test_packages_give_pip_no_options(lab, tmp_path):
    run_id = lab.train()
    packages = {"numpy": "1.0\n--index-url http://evil", "-r /etc/passwd": "1", "x": "1 ; evil"}
    lab.spoil(run_id, packages={**packages, "good": "1.0+cpu", "odd": None})
    assert lab.labbook("restore", run_id, tmp_path / "out").exit_code == 0
    lines = (tmp_path / "out/labbook.lock").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["good==1.0+cpu"]


@pytest.mark.parametrize("wrong", [None, 3, "text", ["list"], {"unexpected": {"nested": [1]}}])
def test_conditions_of_another_shape_are_one_line(lab, tmp_path, wrong):
    run_id = lab.train()
    snapshot = lab.conditions(run_id)["snapshot"]
    for name in ("snapshot", "command", "script", "cwd", "editable"):
        lab.spoil(run_id, **{name: wrong})
        result = lab.labbook("restore", run_id, tmp_path / f"out-{name}")
        assert result.exit_code in {0, 1}, result.output
        assert result.exit_code == 0 or "Error:" in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
    lab.spoil(run_id, snapshot=snapshot, machine=wrong, python=wrong, packages=wrong)
    lab.spoil(run_id, command=[], script=None, cwd=None, editable={})
    assert lab.labbook("restore", run_id, tmp_path / "out").exit_code == 0


def test_escape_sequences_stay_in_the_book(lab, tmp_path):
    run_id = lab.train()
    snapshot = lab.conditions(run_id)["snapshot"]
    left = [{"path": "\x1b[31mred", "bytes": 1, "mtime": 0, "why": "\x1b]0;title\x07"}]
    lab.spoil(run_id, snapshot={**snapshot, "left_out": left, "omitted": ["\x9b2J"]})
    result = lab.labbook("restore", run_id, tmp_path / "out")
    assert result.exit_code == 0
    assert "red" in result.output
    assert not set("\x1b\x07\x9b") & set(result.output)
