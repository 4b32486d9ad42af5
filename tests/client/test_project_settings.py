"""`[tool.labbook]` in a project's `pyproject.toml`, and what `start(seed=)` says."""

import pytest

from labbook.client.project import Project, read_project
from labbook.conditions.limits import Limits
from labbook.errors import MisuseError
from tests.client.conftest import conditions_of
from tests.conditions.gitrepo import git

TRAIN = """
    import sys, labbook
    run = labbook.start({}, **eval(sys.argv[1] if len(sys.argv) > 1 else "{}"))
"""


def settings(folder, text):
    (folder / "pyproject.toml").write_text(text)
    return read_project(folder)


def test_nothing_set_is_nothing_changed(tmp_path):
    assert read_project(tmp_path) == Project()
    assert settings(tmp_path, "[project]\nname = 'labbook-user'\n") == Project()


def test_limits_and_patterns_are_read_in_their_units(tmp_path):
    found = settings(
        tmp_path,
        "[tool.labbook.snapshot]\nfile_mib = 0.5\ntotal_mib = 7\nseconds = 1\n"
        "leave_out = ['*.npy']\n",
    )
    assert found.limits == Limits(
        file_bytes=2**19, total_bytes=7 * 2**20, seconds=1.0, never=(*Limits().never, "*.npy")
    )


def test_the_nearest_file_counts_up_to_the_top_of_the_repository(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.labbook]\ndirty = 'refuse'\n")
    inner = tmp_path / "repo" / "src"
    inner.mkdir(parents=True)
    assert read_project(inner).dirty == "refuse"
    (tmp_path / "repo" / ".git").mkdir()
    assert read_project(inner).dirty is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.labbook]\ndirty = 'stop'", "dirty = 'stop': expected 'warn', 'refuse' or 'allow'"),
        ("[tool.labbook]\ndirt = 1", "[tool.labbook] has no 'dirt'; it has dirty, snapshot"),
        ("[tool.labbook.snapshot]\nfile_mib = '1'", "file_mib = '1': expected a number from 0"),
        ("[tool.labbook.snapshot]\nleave_out = 'x'", "leave_out must be a list of patterns"),
        ("[tool]\nlabbook = 1", "[tool.labbook] must be a table"),
    ],
)
def test_what_is_wrong_is_said_with_its_file(tmp_path, text, said):
    with pytest.raises(MisuseError) as raised:
        settings(tmp_path, text)
    assert said in str(raised.value)
    assert str(tmp_path / "pyproject.toml") in str(raised.value)


def test_a_file_that_is_no_toml_stops_no_training(script):
    (script.folder / "pyproject.toml").write_text("[tool.labbook\n")
    done = script.run(TRAIN)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("pyproject.toml cannot be read, its settings do not count") == 1


def test_a_project_refuses_dirty_trees_and_an_argument_wins(script):
    git(script.folder, "init", "-q")
    (script.folder / "pyproject.toml").write_text("[tool.labbook]\ndirty = 'refuse'\n")
    refused = script.run(TRAIN)
    assert refused.returncode == 1
    assert "DirtyTreeError" in refused.stderr
    assert script.run(TRAIN, LABBOOK_DIRTY="allow").returncode == 0
    assert script.run(TRAIN, "dict(dirty='warn')").returncode == 0


def test_the_limits_of_a_project_hold_for_its_snapshots(script):
    git(script.folder, "init", "-q")
    (script.folder / "pyproject.toml").write_text("[tool.labbook.snapshot]\nfile_mib = 0.001\n")
    (script.folder / "big.bin").write_bytes(bytes(5000))
    assert script.run(TRAIN).returncode == 0
    [left_out] = conditions_of(script.only())["snapshot"]["left_out"]
    assert left_out["path"] == "big.bin"


def test_start_says_once_what_its_seed_did_not_reach(script):
    done = script.run(TRAIN, "dict(seed=7)")
    assert done.stderr.count("seed 7 did not reach numpy and torch: not imported yet") == 1
    done = script.run("import numpy, numpy.random, torch" + TRAIN, "dict(seed=7)")
    assert "did not reach" not in done.stderr
    assert "did not reach" not in script.run(TRAIN).stderr
