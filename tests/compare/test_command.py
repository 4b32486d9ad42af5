"""`labbook diff` as people and scripts see it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from labbook.cli import main
from labbook.compare import table as compare_runs
from labbook.compare.several import Row, Table
from tests.compare.conftest import TRAIN

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pair(project):
    a = project.train()
    project.edit("train.py", TRAIN + "# more\n")
    return project, a, project.train("--lr", "3e-4")


def test_the_whole_text(pair):
    project, a, b = pair
    lines = project.labbook("diff", a, b).splitlines()
    assert lines[0] == "2 things changed at once: lr 1e-3 → 3e-4, code (train.py)"
    assert lines[2].startswith(f"A  {a}")
    assert lines[3].startswith(f"B  {b}")
    at = lines.index("Arguments")
    assert lines[at + 1] == "  ~ lr  1e-3 (default) → 3e-4"
    assert "  train.py  +1 -0" in lines
    assert "  1 file, +1 -0 lines" in lines
    assert "  +# more" in lines
    assert "Results" in lines
    assert not any("\x1b" in line for line in lines)


def test_the_summary_has_no_lines_of_code(pair):
    project, a, b = pair
    text = project.labbook("diff", a, b, "--stat")
    assert "train.py  +1 -0" in text
    assert "# more" not in text


def test_only_some_sections(pair):
    project, a, b = pair
    text = project.labbook("diff", a, b, "--only", "arguments, seeds")
    assert "Arguments" in text
    assert "Code" not in text
    assert "Results" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "code,colour"], "colour; there are arguments, code,"),
        (["--only", ","], "nothing; there are"),
    ],
)
def test_a_wrong_section_is_named(pair, arguments, said):
    project, a, b = pair
    result = CliRunner().invoke(main, ["diff", "--book", str(project.book.root), a, b, *arguments])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_one_run_is_too_few(pair):
    project, a, _ = pair
    result = CliRunner().invoke(main, ["diff", "--book", str(project.book.root), a])
    assert result.exit_code == 2
    assert "name two runs or more" in result.output


def test_json(pair):
    project, a, b = pair
    found = json.loads(project.labbook("diff", a, b, "--json"))
    assert found["headline"].startswith("2 things changed")
    assert [change["section"] for change in found["changes"]] == ["arguments", "code"]
    assert found["arguments"]["items"][0]["b"] == 0.0003
    assert found["code"]["files"][0]["path"] == "train.py"
    assert "+# more\n" in found["code"]["patch"]
    assert found["results"]["series"][0]["a"]["last"] == 0.251
    [paired] = found["results"]["paired"]
    assert paired["interval"]["n"] == 8
    found = json.loads(project.labbook("diff", a, b, "--json", "--stat", "--only", "code"))
    assert "patch" not in found["code"]
    assert "arguments" not in found


def test_three_runs_are_a_table(pair):
    project, a, b = pair
    c = project.train("--layers", "4", "--seed", "7")
    lines = project.labbook("diff", a, b, c).splitlines()
    assert lines[0] == "3 things differ among 3 runs: lr, layers, code"
    cells = {tuple(line.split()[:2]): line.split()[2:] for line in lines if line}
    assert cells["arguments", "lr"] == ["1e-3", "3e-4", "1e-3"]
    assert cells["arguments", "layers"] == ["2", "2", "4"]
    assert cells["seeds", "seed"] == ["0", "0", "7"]
    assert cells["results", "last"][0] == "loss"
    found = json.loads(project.labbook("diff", a, b, c, "--json", "--only", "arguments"))
    assert {row["name"] for row in found["rows"]} == {"lr", "layers"}
    assert found["results"] == []


def test_a_net_that_follows_from_what_changed_is_not_counted(pair):
    project, a, b = pair
    sides = compare_runs([project.reader(a), project.reader(b), project.reader(a)]).runs

    def headline(*rows):
        found = [Row(section, name, (1, 2, 1), (True,) * 3) for section, name in rows]
        return Table(sides, tuple(found), ()).headline

    net, given = ("model", "0 (Linear)"), ("given", "input")
    assert headline(("code", "code"), net, given) == "one thing differs among 3 runs: code"
    assert headline(("arguments", "lr"), net) == "one thing differs among 3 runs: lr"
    assert headline(("data", "train"), net) == "2 things differ among 3 runs: train, model"
    assert headline(net, given) == "one thing differs among 3 runs: model"
    assert headline(given) == "one thing differs among 3 runs: input"


def on_a_terminal(project, *arguments, **environment):
    """Run `labbook` in a pseudo-terminal; returns what came out of it."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "labbook.cli", *arguments],
        env={**project.environment(), "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
        stdin=follower, stdout=follower, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    pieces = []
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux: the other end was closed
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(leader)
    assert process.wait() == 0
    return b"".join(pieces).decode()


def test_a_terminal_gets_colour_through_the_pager(pair, tmp_path):
    project, a, b = pair
    seen = tmp_path / "seen"
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\nexec tee {seen}\n")
    pager.chmod(0o755)
    text = on_a_terminal(project, "diff", a, b, PAGER=str(pager))
    assert "\x1b[32m+# more\x1b[0m" in text
    assert "\x1b[32m+# more\x1b[0m" in seen.read_text()


def test_no_colour_where_none_is_wanted(pair):
    project, a, b = pair
    text = on_a_terminal(project, "diff", a, b, PAGER="cat", NO_COLOR="1")
    assert "+# more" in text
    assert "\x1b" not in text
