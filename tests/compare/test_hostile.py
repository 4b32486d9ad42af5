"""A book from elsewhere: nothing in it is executed, nothing leads out of it or onto the screen."""

import json
import os
import subprocess

import pytest

from labbook.compare import diff
from labbook.conditions.objects import ObjectReader
from tests.compare.conftest import CONTROLS, TRAIN
from tests.conditions.gitrepo import git

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\r"


@pytest.fixture
def pair(project):
    """Two runs whose code differs in a file of any name that git takes."""
    a = project.train()
    project.edit("train.py", TRAIN + f"# {ESCAPES}\n")
    project.edit("notes.txt", f"{ESCAPES}\n")
    project.edit("\x1b[2Jevil\nname\u202e.py", "x = 1\n")
    return project, a, project.train()


def spoil(project, run, **changes):
    path = project.conditions(run)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def all_verbs(project, a, b):
    return [
        project.labbook("diff", a, b),
        project.labbook("diff", a, b, "--stat"),
        project.labbook("diff", a, b, a),
        project.labbook("lineage", b),
    ]


def trap(tmp_path):
    """A program that leaves a file when it is executed, and that file."""
    evidence = tmp_path / "executed"
    program = tmp_path / "trap.sh"
    program.write_text(f'#!/bin/sh\ntouch {evidence}\ncat "$1"\n')
    program.chmod(0o755)
    return program, evidence


def test_no_program_of_the_book_is_executed(project, tmp_path, monkeypatch):
    program, evidence = trap(tmp_path)
    project.edit(".gitattributes", "*.py diff=evil filter=evil merge=evil\n")
    project.commit("attributes")
    a = project.train()
    project.edit("train.py", TRAIN + "# more\n")
    b = project.train()
    settings = {
        "diff.external": program, "diff.evil.command": program, "diff.evil.textconv": program,
        "filter.evil.smudge": program, "filter.evil.clean": program, "core.fsmonitor": program,
        "core.pager": program, "core.sshCommand": program, "core.hooksPath": tmp_path,
    }  # fmt: skip
    folders = [project.book.code, project.folder / ".git"]
    for folder in folders:
        (folder / "info").mkdir(exist_ok=True)
        (folder / "info" / "attributes").write_text("* diff=evil filter=evil\n")
        for key, value in settings.items():
            git(project.folder, "config", "--file", str(folder / "config"), key, str(value))
    user = tmp_path / "gitconfig"
    for key, value in settings.items():
        git(project.folder, "config", "--file", str(user), key, str(value))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(user))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(program))
    monkeypatch.chdir(project.folder)
    assert "+# more" in project.labbook("diff", a, b)
    assert not evidence.exists()
    # the trap works: git itself, asked plainly in this repository, falls into it
    git(project.folder, "diff", GIT_CONFIG_GLOBAL=str(user))
    assert evidence.exists()


@pytest.mark.parametrize("field", ["tree", "cells", "overlay"])
def test_an_object_id_is_no_option(pair, tmp_path, field):
    project, a, b = pair
    target = tmp_path / "written"
    snapshot = json.loads(project.conditions(b).read_text())["snapshot"]
    spoil(project, b, snapshot={**snapshot, field: f"--output={target}"})
    all_verbs(project, a, b)
    assert not target.exists()


def test_a_store_that_leads_elsewhere_is_refused(pair, tmp_path):
    project, a, b = pair
    info = project.book.code / "objects" / "info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_text(f"{project.folder / '.git' / 'objects'}\n")
    assert "leads out of the book" in project.labbook("diff", a, b)


def test_a_tree_with_paths_that_lead_out(pair):
    """Such a tree is only printed; nothing is written anywhere."""
    project, a, b = pair
    with ObjectReader(project.book.code) as reader:
        blob = next(file.oid for file in reader.files(tree_of(project, a)))
    entry = b"100644 ..\0" + bytes.fromhex(blob)
    made = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        input=entry,
        env={**os.environ, "GIT_DIR": str(project.book.code)},
        capture_output=True,
        check=True,
    )
    tree = made.stdout.decode().strip()
    assert len(tree) == 40
    snapshot = json.loads(project.conditions(b).read_text())["snapshot"]
    spoil(project, b, snapshot={**snapshot, "tree": tree})
    before = sorted(project.folder.parent.rglob("*"))
    all_verbs(project, a, b)
    assert sorted(project.folder.parent.rglob("*")) == before


def tree_of(project, run):
    return json.loads(project.conditions(run).read_text())["snapshot"]["tree"]


def test_no_escape_sequence_reaches_the_terminal(pair):
    project, a, b = pair
    spoil(
        project, b,
        arguments={"values": {ESCAPES: ESCAPES, "lr": [ESCAPES]}, "masked": [ESCAPES]},
        packages={ESCAPES: ESCAPES}, python={"version": ESCAPES}, host=ESCAPES,
        machine={"cpu": ESCAPES, "gpus": [{"name": ESCAPES, "uuid": ESCAPES}]},
        environment={ESCAPES: ESCAPES}, script=f"/x/{ESCAPES}.py", seeds={"hash": ESCAPES},
        git={"commit": ESCAPES, "dirty": [{"path": ESCAPES}]},
    )  # fmt: skip
    for text in all_verbs(project, a, b):
        assert not CONTROLS.search(text), CONTROLS.search(text)
    patch = project.labbook("diff", a, b, "--only", "code")
    # what is dangerous in code is shown, not dropped
    assert "+^[[31mred^[]0;title^G<U+009B>2J<U+202E>^M\n" in patch
    assert "^[[2Jevil^Jname<U+202E>.py" in patch


WRONG = [None, 3, "text", ["list"], {"unexpected": {"nested": [1]}}]
PARTS = (
    "arguments", "snapshot", "editable", "git", "packages", "python", "machine", "environment",
    "seeds", "data", "command", "script", "world_size", "host",
)  # fmt: skip


FIELDS = ("nested", "raw", "left_out", "omitted", "prefix", "kind")


def test_conditions_and_snapshots_of_another_shape(pair):
    project, a, b = pair
    path = project.conditions(b)
    whole = json.loads(path.read_text())
    for wrong in WRONG:
        path.write_text(json.dumps(whole | dict.fromkeys(PARTS, wrong)))
        all_verbs(project, a, b)
        project.labbook("diff", b, b)
    for field in FIELDS:
        for wrong in [*WRONG, {"\ud800\0": {"tree": "a" * 40}}]:
            path.write_text(json.dumps(whole | {"snapshot": {**whole["snapshot"], field: wrong}}))
            found = diff(project.reader(a), project.reader(b))
            assert found.changes or found.unknown
