"""`labbook check` as it is typed, and what its exit status says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

PROGRAM = """
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import labbook

run = labbook.start()
X = torch.randn(96, 12, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
LOADER = DataLoader(TensorDataset(X, Y), 16, shuffle=True)


def train(model, optimizer, n_steps):
    batches = [batch for _ in range(n_steps) for batch in LOADER][:n_steps]
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        ZERO
        loss.backward()
        optimizer.step()
        run.log(loss=loss)


@labbook.subject
def digits():
    return labbook.Subject(
        model=lambda: nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3)),
        loss=F.cross_entropy,
        loader=LOADER,
        optimizer=lambda model: torch.optim.Adam(model.parameters(), 1e-2),
        train=train,
    )
"""
GOOD = PROGRAM.replace("ZERO", "optimizer.zero_grad()")
BAD = PROGRAM.replace("ZERO", "pass")
LINE = 1 + next(n for n, text in enumerate(PROGRAM.splitlines()) if "backward()" in text)
ONLY = ("--only", "loop/stale-grad")


@pytest.fixture
def typed(tmp_path):
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LABBOOK_")}

    def run(*arguments, module="labbook.cli", **how):
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, **how,
        )  # fmt: skip

    run.folder = tmp_path
    return run


def test_a_sound_program_exits_with_0_and_records_no_run(typed):
    done = typed("check", "good.py", *ONLY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pass 1")
    assert not (typed.folder / ".labbook").exists()


def test_a_mistake_exits_with_1_and_names_its_line(typed):
    done = typed("check", "bad.py:digits", *ONLY)
    assert done.returncode == 1
    assert f"where   bad.py:{LINE} in train" in done.stdout
    assert "zero_grad" in done.stdout
    assert typed("check", "bad.py", *ONLY, "--fail-on", "never").returncode == 0


def test_forms_for_machines(typed):
    done = typed("check", "bad.py", *ONLY, "--json", "--junit", "out.xml")
    report = json.loads(done.stdout)
    assert [f["rule"] for f in report["findings"]] == ["loop/stale-grad"]
    [suite] = ET.parse(typed.folder / "out.xml").getroot()
    assert (suite.get("name"), suite.get("failures"), suite.get("tests")) == ("digits", "1", "1")
    done = typed("check", "bad.py", *ONLY, "--github")
    assert done.stdout.startswith(f"::error file=bad.py,line={LINE},title=loop/stale-grad::")


def test_what_is_allowed_needs_a_reason(typed):
    done = typed("check", "bad.py", *ONLY, "--allow", "loop/stale-grad=momentum by hand")
    assert done.returncode == 0
    assert "momentum by hand" in done.stdout
    assert typed("check", "bad.py", "--allow", "loop/stale-grad").returncode == 2


def test_a_project_sets_what_is_allowed(typed):
    settings = '[tool.labbook.check.allow]\n"loop/stale-grad" = "by hand"\n'
    (typed.folder / "pyproject.toml").write_text(settings)
    done = typed("check", "bad.py", *ONLY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "by hand" in done.stdout
    (typed.folder / "pyproject.toml").write_text(settings.replace("by hand", " "))
    done = typed("check", "bad.py", *ONLY)
    assert done.returncode == 2
    assert "a reason, in words" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "absent.py"], "there is no file absent.py"),
        (["check", "good.py:nothing"], "has no 'nothing'; its subjects: digits"),
        (["check", "good.py", "--only", "loop/stale"], "did you mean 'loop/stale-grad'?"),
        (["check", "good.py", "--set", "loop/stale-grad.share"], "RULE.LIMIT=NUMBER"),
        (["check", "good.py", "--set", "loop/stale-grad.z=1"], "has no limit 'z'"),
        (["check", "good.py", "--budget", "soon"], "expected seconds"),
        (["check", "--why", "nothing"], "no rule is called 'nothing'"),
    ],
)
def test_wrong_use_exits_with_2(typed, arguments, says):
    done = typed(*arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_when_nothing_could_run_it_says_so(typed):
    (typed.folder / "bare.py").write_text(GOOD.replace("        train=train,\n", ""))
    done = typed("check", "bare.py", *ONLY)
    assert done.returncode == 2
    assert "no train= given" in done.stdout


def test_the_list_and_the_reasons(typed):
    assert "loop/stale-grad" in typed("check", "--list").stdout
    [rule] = json.loads(typed("check", "--list", "--json", *ONLY).stdout)
    assert rule["limits"] == {"share": 0.5}
    done = typed("check", "--why", "loop/stale-grad")
    for word in ("formula", "limits", "advice", "false positives", "source"):
        assert word in done.stdout


def test_the_page_of_rules_is_up_to_date(typed):
    page = Path(__file__).parent.parent.parent / "labbook/checks/RULES.md"
    assert typed("check", "--list", "--markdown").stdout == page.read_text(), (
        "labbook check --list --markdown > labbook/checks/RULES.md"
    )


def test_pytest_collects_one_test_a_rule(typed):
    done = typed("bad.py", "-p", "no:randomly", "-k", "stale", module="pytest")
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert f"bad.py:{LINE} in train" in done.stdout
    done = typed("good.py", "-p", "no:randomly", "-k", "stale", module="pytest")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_debugger_stands_where_the_users_code_raised(typed):
    text = GOOD.replace("optimizer.zero_grad()", "lost = y; raise RuntimeError('here')")
    (typed.folder / "raises.py").write_text(text)
    done = typed("check", "raises.py", *ONLY, "--pdb", input="p lost.shape\nq\n")
    assert "torch.Size([16])" in done.stdout
