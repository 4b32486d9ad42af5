"""What the README shows is run as it stands there, on a short training of its own example."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import labbook
from labbook.client.project import read_project

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SHORT = "--epochs 2 --width 4"

ELSEWHERE = {
    "make demo": "tests/examples runs the script behind it",
    "make test": "is what runs this",
    "labbook": "tests/tui opens the terminal program",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> Iterator[str]:
    for block in blocks("console"):
        for line in block.splitlines():
            assert line.startswith("$ "), f"a console block has commands only: {line!r}"
            yield line.removeprefix("$ ").partition("  #")[0].strip()


def shortened(command: str) -> str:
    """The same command, on a training of seconds, and a watcher that ends."""
    if "train.py" in command:
        return re.sub(r" --width \d+", "", command) + f" {SHORT}"
    stays = command.startswith("labbook watch") and not re.search("status|--dry-run", command)
    return f"{command} --once" if stays else command


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A repository with the example in it, and `labbook` and `python` on PATH."""
    folder = tmp_path_factory.mktemp("readme") / "a clone"
    shutil.copytree(ROOT / "examples", folder / "examples")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=folder, check=True)
    subprocess.run([*git, "add", "."], cwd=folder, check=True)
    subprocess.run([*git, "commit", "-q", "-m", "the example"], cwd=folder, check=True)
    binaries = folder.parent / "bin"
    binaries.mkdir()
    for name, arguments in (("python", ""), ("labbook", "-m labbook.cli ")):
        (binaries / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        (binaries / name).chmod(0o755)
    return folder


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABBOOK_")}
    kept["PATH"] = f"{folder.parent / 'bin'}{os.pathsep}{kept['PATH']}"
    kept["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tui'}"
    return kept


@pytest.fixture(scope="module")
def after_the_commands(folder: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    return {
        command: subprocess.run(
            ["bash", "-c", shortened(command)],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        for command in commands()
        if command not in ELSEWHERE
    }


@pytest.mark.timeout(300)
def test_every_command_works_in_the_order_shown(after_the_commands):
    assert len(after_the_commands) >= 10
    failed = {c: r.stderr for c, r in after_the_commands.items() if r.returncode}
    assert not failed


@pytest.mark.timeout(300)
def test_the_commands_print_what_the_text_says(after_the_commands, folder):
    printed = {command: result.stdout for command, result in after_the_commands.items()}
    shown = printed["labbook show wide"]
    assert "validation.accuracy" in shown
    assert "64 examples" in shown
    assert "width = 4" in printed["labbook show wide --args"]
    assert "wide" in printed["labbook ls"]
    assert "bitwise equal" in printed["labbook rerun wide --verify"]
    assert printed["labbook diff wide 'wide again' --stat"].startswith("nothing changed")
    assert "the beginning" in printed["labbook lineage 'wide again'"]
    assert (folder.parent / "wide-code/examples/digits/train.py").exists()
    assert (folder / "wide.parquet").exists()
    n_rows = len((folder / "digits.csv").read_text().splitlines()) - 1
    assert n_rows == 450 * 10


@pytest.mark.timeout(300)
def test_the_python_that_reads_works(after_the_commands, folder, monkeypatch):
    monkeypatch.chdir(folder)
    [code] = [block for block in blocks("python") if "labbook.open" in block]
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)  # it is our own README
    assert names["loss"].column_names == ["step", "time", "value"]
    assert names["rows"].num_rows == 450
    assert len(names["runs"]) == 2  # and the rerun


@pytest.mark.timeout(300)
def test_the_sql_counts_every_row_once(after_the_commands, folder, monkeypatch):
    monkeypatch.chdir(folder)
    [sql] = blocks("sql")
    counts = {name: n for _, name, n, _ in duckdb.sql(sql).fetchall()}
    assert counts == {"loss": 84, "lr": 84, "epoch": 84}


def test_the_lines_a_user_adds_are_those_of_the_example():
    train, evaluation = (
        (ROOT / "examples/digits" / name).read_text() for name in ("train.py", "evaluation.py")
    )
    added, class_, *_ = blocks("python")
    lines = [re.sub(r"  # labbook.*", "", line).strip() for line in train.splitlines()]
    for line in added.splitlines():
        assert not line or line.strip() in lines
    assert class_ in evaluation


def test_the_settings_of_a_project_are_settings(tmp_path):
    (toml,) = blocks("toml")
    (tmp_path / "pyproject.toml").write_text(toml)
    project = read_project(tmp_path)
    assert project.dirty == "refuse"
    assert project.limits is not None
    assert project.limits.file_bytes == 20 << 20


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert targets
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert not missing


def test_every_variable_of_the_table_is_read_by_the_code():
    code = "".join(path.read_text() for path in (ROOT / "labbook").rglob("*.py"))
    for variable in re.findall(r"`(LABBOOK_[A-Z_]+)", README):
        assert f'"{variable}"' in code or variable in code


def test_the_subject_that_is_shown_can_be_checked(monkeypatch):
    from torch.nn import functional
    from torch.utils.data import DataLoader

    monkeypatch.syspath_prepend(ROOT / "examples/digits")
    import train

    [subject] = [block for block in blocks("python") if "@labbook.subject" in block]
    [alone] = [block for block in blocks("python") if "labbook.check(" in block]
    names = {**vars(train), "F": functional, "DataLoader": DataLoader, "labbook": labbook}
    exec(compile(subject, "README.md", "exec"), names)  # it is our own README
    few = {"only": ["loss/sign", "data/target-range"], "budget_s": 50}
    report = labbook.check(names["subject"], **few)
    assert (report.ok, len(report.passed)) == (True, 2)
    loader = DataLoader(train.digits()[0], 32, shuffle=True)
    names |= {"model": train.network(4), "loader": loader}
    check = labbook.check
    monkeypatch.setattr(labbook, "check", lambda subject: check(subject, **few))
    exec(compile(alone, "README.md", "exec"), names)
    assert names["report"].ok
