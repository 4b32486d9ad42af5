"""`labbook rerun`: real trainings run again, compared with the first; and what is refused."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.conditions.gitrepo import git, photograph, repository, write
from tests.on_terminal import on_terminal
from tests.restore.conftest import ROOT, TRAIN, Lab, environment_

pytestmark = pytest.mark.timeout(120)


def scratch_is_empty():
    return not list(Path(os.environ["XDG_CACHE_HOME"], "labbook/rerun").iterdir())


def test_a_dirty_run_is_bitwise_equal_after_everything_changed(lab):
    write(lab.top / "train.py", TRAIN.replace("import argparse", "import helper, argparse"))
    write(lab.top / "helper.py", "untracked = 1\n")
    run_id = lab.train("--lr", "0.3", "--seed", "4")
    (lab.top / "helper.py").unlink()
    git(lab.top, "checkout", "-q", "--orphan", "other")
    git(lab.top, "rm", "-rfq", ".")
    write(lab.top / "train.py", "raise SystemExit('the new code')\n")
    git(lab.top, "add", "-A", ":!.labbook")
    git(lab.top, "commit", "-q", "-m", "rewritten")
    git(lab.top, "branch", "-D", "main")
    git(lab.top, "reflog", "expire", "--expire=now", "--all")
    git(lab.top, "gc", "-q", "--prune=now")
    before = photograph(lab.top / ".git"), (lab.top / "train.py").read_bytes()
    done = lab.program("rerun", run_id, "--verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bitwise equal: 1 series, 50 rows" in done.stdout
    assert "is not in your repository any more" in done.stdout
    assert (photograph(lab.top / ".git"), (lab.top / "train.py").read_bytes()) == before
    (new_id,) = set(lab.ids()) - {run_id}
    new = lab.run(new_id)
    assert new.identity["parent"] == run_id
    assert new.conditions["arguments"]["values"] == {"lr": 0.3, "seed": 4}
    assert new.conditions["snapshot"]["tree"] == lab.conditions(run_id)["snapshot"]["tree"]
    assert scratch_is_empty()


def test_the_new_run_has_the_commit_and_the_dirt_of_the_first(lab):
    write(lab.top / "train.py", TRAIN + "# edited\n")
    run_id = lab.train()
    before = photograph(lab.top / ".git")
    assert lab.program("rerun", run_id).returncode == 0
    assert photograph(lab.top / ".git") == before
    (new_id,) = set(lab.ids()) - {run_id}
    old, new = lab.conditions(run_id), lab.conditions(new_id)
    for name in ("commit", "dirty"):
        assert new["git"][name] == old["git"][name]
    assert new["snapshot"]["tree"] == old["snapshot"]["tree"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("--lr", "0.2"), "different: first at step 0 in loss"),
        (("--seed", "1"), "random generators in another state at the start: python"),
    ],
)
def test_one_argument_changed(lab, change, text):
    first, other = lab.train(), lab.train(*change)
    result = lab.labbook("rerun", first, "--against", other)
    assert (result.exit_code, result.output.count("\n") < 5) == (1, True)
    assert text in result.output
    assert len(lab.ids()) == 2


def test_one_line_changed(lab):
    run_id = lab.train()
    line = "args.lr * (1 if step < 30 else 1 + 1e-9)"
    write(lab.top / "train.py", TRAIN.replace("args.lr,", f"{line},"))
    other = lab.train()
    result = lab.labbook("rerun", run_id, "--against", other, "--json")
    first = json.loads(result.output)["comparison"]["first"]
    assert (result.exit_code, first["name"], first["step"]) == (1, "loss", 30)
    assert first["relative"] == pytest.approx(1e-9, rel=1e-3)
    assert lab.labbook("rerun", run_id, "--against", other, "--rtol", "1e-6").exit_code == 0


def test_one_package_changed(lab, tmp_path):
    """A package of another version is told before the run, and the divergence after it."""
    site = tmp_path / "site"
    write(site / "scale-1.0.dist-info/METADATA", "")
    write(site / "scale.py", "def scale(step): return 1.0\n")
    write(
        lab.top / "train.py",
        TRAIN.replace("args.lr,", "args.lr * __import__('scale').scale(step),"),
    )
    path = os.pathsep.join([str(ROOT), str(site)])
    run_id = lab.train(PYTHONPATH=path)
    assert lab.program("rerun", run_id, "--verify", "--strict").returncode == 0
    (site / "scale-1.0.dist-info").rename(site / "scale-2.0.dist-info")
    write(site / "scale.py", "def scale(step): return 1.0 if step < 7 else 1.5\n")
    done = lab.program("rerun", run_id, "--verify")
    assert "package scale: 1.0 then, 2.0 now" in done.stdout
    assert done.returncode == 1
    assert "different: first at step 7 in loss" in done.stdout
    n_runs = len(lab.ids())
    done = lab.program("rerun", run_id, "--verify", "--strict")
    assert (done.returncode, len(lab.ids())) == (2, n_runs)
    assert "differs in 1 places: not run (--strict)" in done.stderr


def test_the_environment_is_as_recorded(lab):
    lines = "run.log(omp=float(os.environ.get('OMP_NUM_THREADS', -1)),"
    lines += " mkl=float(os.environ.get('MKL_NUM_THREADS', -1)), step=99)"
    source = TRAIN.replace("import argparse", "import os, argparse")
    write(lab.top / "train.py", source.replace("run.finish()", f"{lines}\nrun.finish()"))
    run_id = lab.train(OMP_NUM_THREADS="3")
    done = lab.program(
        "rerun", run_id, "--verify", OMP_NUM_THREADS="1", MKL_NUM_THREADS="2", SLURM_JOB_ID="7",
        LABBOOK_RESUME=run_id, LABBOOK_RUN_ID=run_id, WORLD_SIZE="2", RANK="1",
        LABBOOK_NAME="not this",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lab.ids()) == 2


def test_data_is_linked_and_the_runs_own_outputs_are_left_alone(lab):
    body = """\
from pathlib import Path
assert Path("data/x.txt").read_text() == "7"
Path("outputs").mkdir(exist_ok=True)
Path("outputs/last.txt").write_text(run.id)
run.finish()
"""
    write(lab.top / "train.py", TRAIN.replace("run.finish()\n", body))
    write(lab.top / ".gitignore", "data/\noutputs/\n")
    write(lab.top / "data/x.txt", "7")
    write(lab.top / "big.bin", b"x" * (11 << 20))
    run_id = lab.train()
    write(lab.top / "later.py", "written since\n")
    done = lab.program("rerun", run_id, "--verify", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert sorted(found["linked"]) == [".labbook", "big.bin", "data"]
    assert sorted(found["newer"]) == ["later.py", "outputs/"]
    assert found["missing"] == []
    assert (lab.top / "outputs/last.txt").read_text() == run_id
    assert "1 file, 22 B into the scratch folder" in done.stderr


def test_the_working_directory_and_a_module_that_was_installed_from_the_tree(tmp_path):
    """An editable install leads to the user's folder, whose code has changed since."""
    lab = Lab(repository(tmp_path / "r", {"src/mine.py": "factor = 1.0\n"}))
    source = TRAIN.replace("import labbook", "import labbook, mine, os")
    source = source.replace("args.lr,", "args.lr * mine.factor,")
    write(lab.top / "exp/train.py", source + "assert os.path.basename(os.getcwd()) == 'exp'\n")
    site = tmp_path / "site"
    write(site / "mine-0.1.dist-info/direct_url.json", json.dumps(
        {"url": f"file://{lab.top}", "dir_info": {"editable": True}}
    ))  # fmt: skip
    write(site / "mine.py", f"exec(open({str(lab.top / 'src/mine.py')!r}).read())\n")
    path = os.pathsep.join([str(ROOT), str(site)])
    run_id = lab.train(cwd=lab.top / "exp", PYTHONPATH=path)
    write(lab.top / "src/mine.py", "factor = 2.0\n")
    done = lab.program("rerun", run_id, "--verify")
    # what PYTHONPATH names comes first, as it did: this stand-in for an import hook is on it
    assert done.returncode == 1
    (site / "mine.py").unlink()
    done = lab.program("rerun", run_id, "--verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_masked_argument(lab):
    extra = 'parser.add_argument("--api-key")\nargs = parser.parse_args()\n'
    write(lab.top / "train.py", TRAIN.replace("args = parser.parse_args()\n", extra))
    run_id = lab.train("--api-key", "abcdefghijklmnop")
    assert "abcdefghijklmnop" not in lab.conditions_file(run_id).read_text()
    done = lab.program("rerun", run_id, "--verify")
    assert done.returncode == 2
    assert "the secret argument api-key was not recorded: give --set api-key=VALUE" in done.stderr
    done = lab.program("rerun", run_id, "--verify", "--set", "api_key", api_key="abcdefghijklmnop")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "abcdefghijklmnop" not in done.stdout + done.stderr


def test_on_a_terminal_a_plan_fits_and_says_each_thing_once(lab):
    run_id = lab.train("--lr", "0.125", "--seed", "7")
    place = {**environment_(), "LABBOOK_DIR": str(lab.book)}
    words = [sys.executable, "-m", "labbook.cli"]
    command = [*words, "rerun", run_id, "--check-only"]
    lines = on_terminal(command, cwd=lab.top, environment=place, columns=80)
    (folder,) = [line for line in lines if line.startswith("  in  ")]
    path = folder.split()[1]
    assert "\n".join(lines).count(path) == 1
    assert not any(line.startswith("  linked") for line in lines)  # the book alone is no news
    too_wide = [line for line in lines if len(line) > 80]
    assert all(len(line.split()) <= 2 for line in too_wide)  # but a path stays whole
    restored = on_terminal(
        [*words, "restore", run_id, lab.top.parent / "again"], cwd=lab.top, environment=place
    )
    assert restored[0].startswith(f"restored {run_id} (")
    assert all(line.startswith("  ") for line in restored[1:] if line)
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in restored)


def test_check_only_runs_nothing(lab):
    run_id = lab.train()
    write(lab.top / "train.py", "raise SystemExit('the new code')\n")
    done = lab.program("rerun", run_id, "--check-only")
    assert done.returncode == 0, done.stderr
    assert f"command   {shlex.quote(sys.executable)} train.py" in done.stdout
    assert "Python, packages and machine are as they were" in done.stdout
    assert lab.ids() == [run_id]
    assert scratch_is_empty()


def test_keep(lab):
    done = lab.program("rerun", lab.train(), "--keep")
    kept = Path(done.stdout.rpartition("kept ")[2].strip())
    assert (kept / "train.py").read_text() == TRAIN
    shutil.rmtree(kept.parent)


def test_a_command_that_fails_gives_its_status(lab):
    write(
        lab.top / "train.py", TRAIN + "import os\nif os.environ.get('FAIL'): raise SystemExit(7)\n"
    )
    run_id = lab.train()
    assert lab.program("rerun", run_id, FAIL="1").returncode == 7


def test_a_command_that_records_nothing_cannot_be_compared(lab):
    run_id = lab.train()
    lab.spoil(run_id, command=["python", "-c", "pass"], script=None)
    done = lab.program("rerun", run_id, "--verify")
    assert done.returncode == 2
    assert "recorded no run" in done.stderr


def test_several_processes_are_refused(lab):
    run_id = lab.train()
    lab.spoil(run_id, world_size=4)
    done = lab.program("rerun", run_id)
    assert done.returncode == 1
    assert "was 4 processes" in done.stderr


@pytest.fixture
def digits(tmp_path):
    """The digits example in a repository, with a factor from a package `recipe` 1.0."""
    pytest.importorskip("sklearn")
    lab = Lab(repository(tmp_path / "r", {}))
    shutil.copytree(ROOT / "examples", lab.top / "examples")
    lab.script = lab.top / "examples/digits/train.py"
    source = lab.script.read_text()
    assert LOSS in source
    lab.script.write_text(source.replace(LOSS, f"{LOSS} * {FACTOR}"))
    lab.site = tmp_path / "site"
    write(lab.site / "recipe-1.0.dist-info/METADATA", "")
    write(lab.site / "recipe.py", "def factor(step): return 1.0\n")
    git(lab.top, "add", "-A")
    git(lab.top, "commit", "-q", "-m", "examples")
    lab.path = os.pathsep.join([str(ROOT), str(lab.site)])
    return lab


LOSS = "loss = F.cross_entropy(model(shifted(images)), labels)"
FACTOR = "__import__('recipe').factor(step + 1)"


def train_digits(lab, *more):
    words = ("--epochs", "1", "--width", "4", *more)
    return lab.train(*words, script="examples/digits/train.py", PYTHONPATH=lab.path)


def first_of(result):
    found = json.loads(result.stdout)["comparison"]
    return found["verdict"], found["first"]["step"] if found["first"] else None


def test_the_digits_example_is_bitwise_equal(digits):
    run_id = train_digits(digits)
    done = digits.program("rerun", run_id, "--verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bitwise equal: 3 series and" in done.stdout


def test_the_digits_example_with_another_package_parts_where_it_takes_part(digits):
    run_id = train_digits(digits)
    (digits.site / "recipe-1.0.dist-info").rename(digits.site / "recipe-2.0.dist-info")
    write(digits.site / "recipe.py", "def factor(step): return 1.0 if step < 7 else 1.001\n")
    done = digits.program("rerun", run_id, "--verify", "--json")
    assert first_of(done) == ("different", 7)
    assert done.returncode == 1
    assert "package recipe: 1.0 then, 2.0 now" in done.stderr


@pytest.mark.parametrize("change", ["a line of code", "an argument"])
def test_the_digits_example_with_one_thing_changed_parts_at_its_step(digits, change):
    run_id = train_digits(digits)
    if change == "an argument":
        other, step = train_digits(digits, "--lr", "0.002"), 1  # the first row has the rate
    else:
        text = digits.script.read_text()
        digits.script.write_text(text.replace(FACTOR, "(1 if step < 4 else 1.0001)"))
        other, step = train_digits(digits), 5
    done = digits.labbook("rerun", run_id, "--against", other, "--json")
    assert (done.exit_code, first_of(done)) == (1, ("different", step))


# -- books from elsewhere


def test_a_run_from_another_host_is_not_run_unasked(lab, tmp_path):
    trap = tmp_path / "sprung"
    write(tmp_path / "python3", f"#!/bin/sh\ntouch {trap}\n")
    (tmp_path / "python3").chmod(0o755)
    write(lab.top / "train.py", f"open({str(trap)!r}, 'w')\n{TRAIN}")
    run_id = lab.train()
    trap.unlink()
    python = {**lab.conditions(run_id)["python"], "executable": str(tmp_path / "python3")}
    lab.spoil(run_id, host="elsewhere", python=python, environment={"LD_PRELOAD": "/evil.so"})
    for arguments in (["--verify"], ["--check-only"], ["--json"]):
        done = lab.program("rerun", run_id, *arguments)
        assert done.returncode == 2, done.stdout
        assert "was recorded on host elsewhere: read its code first, then pass --yes" in done.stderr
        assert not trap.exists()
    assert (
        f"command   {shlex.quote(sys.executable)} train.py" in lab.program("rerun", run_id).stdout
    )


@pytest.mark.parametrize("name", ["evil.sh", "python; touch x", "labbook-book/python"])
def test_an_interpreter_that_is_none_is_not_used(lab, tmp_path, name):
    trap = tmp_path / "sprung"
    run_id = lab.train()
    evil = (lab.book / "python") if "/" in name else tmp_path / name
    write(evil, f"#!/bin/sh\ntouch {trap}\n")
    evil.chmod(0o755)
    python = {**lab.conditions(run_id)["python"], "executable": str(evil)}
    lab.spoil(run_id, python=python)
    assert lab.program("rerun", run_id, "--check-only").returncode == 0
    assert not trap.exists()


def test_a_preloaded_library_is_told_and_not_loaded(lab):
    run_id = lab.train()
    environment = {**lab.conditions(run_id)["environment"], "LD_PRELOAD": "/evil.so", "PATH": "/x"}
    lab.spoil(run_id, environment=environment)
    done = lab.program("rerun", run_id, "--verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "environment LD_PRELOAD: /evil.so then, none now" in done.stdout
    assert "evil.so" not in done.stderr


def test_escape_sequences_of_the_command_stay_in_the_book(lab):
    run_id = lab.train()
    lab.spoil(run_id, command=["python", "train.py", "\x1b[31mred\x9b2J"], host="\x1b]0;t\x07")
    result = lab.labbook("rerun", run_id, "--check-only")
    assert "red" in result.output
    assert not set("\x1b\x07\x9b") & set(result.output)
