"""Each run is evaluated in its own code, whatever became of the files since."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labbook.paths import BookPaths
from labbook.watch.materialise import clean
from labbook.watch.worker import _coming
from tests.conditions.gitrepo import repository, write
from tests.restore.conftest import ROOT, Lab, environment_

pytestmark = pytest.mark.timeout(180)

TRAIN = """\
import argparse, io, pickle, zipfile
import labbook
import model

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
run = labbook.start(gauges=None, output=False)
for step in range(args.steps):
    with zipfile.ZipFile(f"step-{args.seed}-{step}.part", "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps((args.seed, step)))
    import os
    os.makedirs("ckpts", exist_ok=True)
    os.replace(f"step-{args.seed}-{step}.part", f"ckpts/run{args.seed}-step{step}.pt")
run.watch(f"ckpts/run{args.seed}-*.pt")
run.finish()
"""

EVALUATION = """\
import os
from pathlib import Path
import torch
import labbook
import model
from extra.words import WORD

with open(os.environ["IMPORTED"], "a") as log:
    log.write(f"{os.getpid()} {model.VALUE}\\n")

@labbook.evaluation
class Validation:
    def setup(self, context):
        return torch.nn.Identity()
    def load(self, context, path):
        pass
    def data(self, context):
        here = Path(__file__).parent / "data/x.txt"
        assert here.read_text() == Path("data/x.txt").read_text()
        return [torch.tensor(float(n)) for n in here.read_text().split()]
    def step(self, context, batch):
        return {"value": batch * 0 + model.VALUE, "x": batch}
"""


class CodeLab(Lab):
    """A repository with a model, an evaluation, and data that git ignores."""

    def watch(self, *options, check=0, cwd=None, **environment):
        """`labbook watch --once evaluation.py`; returns what it printed on stderr, then stdout."""
        files = () if any(each.endswith(".py") for each in options) else ("evaluation.py",)
        done = subprocess.run(
            [sys.executable, "-m", "labbook.cli", "watch", "--once", *files, *options],
            cwd=cwd or self.top,
            env={**environment_(), **self.environment(), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == check, done.stderr + done.stdout
        return done.stderr + done.stdout

    def environment(self):
        return {
            "LABBOOK_DIR": str(self.book),
            "IMPORTED": str(self.log),
            "OMP_NUM_THREADS": "1",
        }

    @property
    def log(self):
        return self.top.parent / "imported.txt"

    def imported(self):
        """The values of model.py in the order in which workers imported it."""
        text = self.log.read_text() if self.log.exists() else ""
        return [line.split()[1] for line in text.splitlines()]

    def metas(self, run_id, evaluation="validation"):
        folder = BookPaths(self.book).run(run_id).evaluations / evaluation
        found = [
            json.loads(pq.read_schema(p).metadata[b"labbook"]) for p in folder.glob("*.parquet")
        ]
        return sorted(found, key=lambda meta: meta["started_ns"])

    def reasons(self, run_id):
        folder = BookPaths(self.book).run(run_id).reasons
        return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]

    @property
    def cache(self):
        return Path(os.environ["XDG_CACHE_HOME"], "labbook/watch")

    def trees(self):
        """Folders in the cache, with those that are half made."""
        return [each for each in self.cache.iterdir() if each.name != "offers"]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    files = {
        "train.py": TRAIN,
        "evaluation.py": EVALUATION,
        "model.py": "VALUE = 1\n",
        "extra/words.py": "WORD = 'then'\n",
        ".gitignore": "data/\nckpts/\n",
    }
    made = CodeLab(repository(tmp_path / "a lab", files))
    write(made.top / "data/x.txt", "1 2 3")
    return made


def test_the_code_is_the_runs_own_and_its_data_are_found(lab):
    run_id = lab.train("--steps", "2")
    write(lab.top / "model.py", "VALUE = 2\n")
    write(lab.top / "evaluation.py", "raise SystemExit('the new one')\n")
    shutil.rmtree(lab.top / "extra")
    said = lab.watch()
    assert f"code {lab.conditions(run_id)['snapshot']['tree'][:7]}" in said
    assert "linked in, not part of the code: " in said
    metas = lab.metas(run_id)
    assert [meta["metrics"]["value"] for meta in metas] == [1.0, 1.0]
    code = metas[0]["code"]
    assert (code["mode"], code["tree"]) == ("run", lab.conditions(run_id)["snapshot"]["tree"])
    assert "data" in code["linked"]
    assert (code["outside"], code["missing"]) == ([], [])
    assert {"evaluation.py", "model.py", "extra/words.py"} <= set(code["files"])
    assert lab.reasons(run_id) == []

    # again: nothing is imported to know that all is done
    n_imported = len(lab.imported())
    assert "0 new results" in lab.watch()
    assert len(lab.imported()) == n_imported

    # the current code is another key: both results are kept
    write(lab.top / "evaluation.py", EVALUATION.replace("from extra.words import WORD\n", ""))
    lab.watch("--code", "current")
    metas = lab.metas(run_id)
    assert [meta["metrics"]["value"] for meta in metas] == [1.0, 1.0, 2.0, 2.0]
    assert [meta["code"]["mode"] for meta in metas[2:]] == ["current", "current"]
    assert lab.watch("--code", "current").count("step") == 0


def test_data_made_after_the_run_began_are_linked_and_new_code_is_not(lab):
    (lab.top / "data/x.txt").unlink()
    (lab.top / "data").rmdir()
    write(
        lab.top / "evaluation.py",
        EVALUATION.replace(
            "from extra.words import WORD",
            "try:\n    import later\n    model.VALUE = 9\nexcept ImportError: pass",
        ),
    )
    run_id = lab.train()
    write(lab.top / "data/x.txt", "4 5")
    write(lab.top / "later.py", "")
    lab.watch()
    (meta,) = lab.metas(run_id)
    assert meta["metrics"]["x"] == 4.5
    assert meta["metrics"]["value"] == 1.0
    assert "later.py" not in meta["code"]["linked"]


def test_where_the_runs_folder_is_not_here_data_come_from_the_watchers(lab, tmp_path):
    run_id = lab.train()
    moved = CodeLab(lab.top.rename(tmp_path / "moved"))
    write(moved.top / "old.py", "")
    os.utime(moved.top / "old.py", (1, 1))
    write(moved.top / "model.py", "VALUE = 2\n")
    moved.watch()
    (meta,) = moved.metas(run_id)
    assert (meta["metrics"]["value"], meta["metrics"]["x"]) == (1.0, 2.0)
    assert "data" in meta["code"]["linked"]
    assert "old.py" not in meta["code"]["linked"]


def test_an_evaluation_that_is_no_part_of_the_code(lab, tmp_path):
    (lab.top / "evaluation.py").unlink()
    run_id = lab.train()
    write(lab.top / "model.py", "VALUE = 2\n")
    text = EVALUATION.replace("from extra.words import WORD", "import own")
    text = text.replace('Path(__file__).parent / "data/x.txt"', 'Path("data/x.txt")')
    file = tmp_path / "elsewhere/evaluation.py"
    write(file, text)
    write(file.with_name("own.py"), "a = 1\n")
    said = lab.watch(str(file))
    assert f"{file} is not part of the code: used as it is" in said
    assert "imported from outside the code, as it is now: " in said
    (meta,) = lab.metas(run_id)
    assert meta["metrics"]["value"] == 1.0
    assert meta["code"]["outside"] == ["outside:evaluation.py", "outside:own.py"]
    assert set(meta["code"]["files"]) == {"outside:evaluation.py", "outside:own.py", "model.py"}
    assert "0 new results" in lab.watch(str(file))
    write(file.with_name("own.py"), "a = 2\n")
    assert "1 new results" in lab.watch(str(file))
    assert len({meta["key"] for meta in lab.metas(run_id)}) == 2


def test_code_that_is_gone_is_the_reason_until_it_is_back(lab):
    run_id = lab.train()
    store = BookPaths(lab.book).code
    store.rename(store.with_name("away"))
    said = lab.watch(check=1)
    assert "not evaluated: " in said
    (reason,) = lab.reasons(run_id)
    assert reason["state"] == "failed"
    assert reason["evaluation"] is None
    assert "no code is stored in this book" in reason["reason"]
    assert "--code current" in reason["reason"]
    store.with_name("away").rename(store)
    lab.watch()
    assert lab.reasons(run_id) == []
    assert len(lab.metas(run_id)) == 1


def test_a_snapshot_that_lacks_a_file_names_it(lab):
    write(lab.top / "huge.py", "#" * (11 << 20))
    run_id = lab.train()
    (lab.top / "huge.py").unlink()
    lab.watch(check=1)
    (reason,) = lab.reasons(run_id)
    assert f"the code of run {run_id} lacks huge.py" in reason["reason"]
    assert lab.trees() == []


def test_a_watcher_with_nothing_to_do_says_so_and_goes_on_watching(lab):
    lab.train("--steps", "2")
    lab.watch()
    watcher = subprocess.Popen(
        [sys.executable, "-m", "labbook.cli", "watch", "evaluation.py", "--poll", "0.2"],
        cwd=lab.top, env={**environment_(), **lab.environment()}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        said = watcher.stderr.readline()
        assert said == f"labbook watch: watching {lab.book}: 2 checkpoints have their results\n"
        lab.train("--seed", "1")
        assert "  step " in watcher.stdout.readline()
    finally:
        watcher.terminate()
        watcher.communicate()


def test_a_partial_snapshot_is_not_taken_for_the_whole(lab):
    run_id = lab.train()
    snapshot = {**lab.conditions(run_id)["snapshot"], "kind": "partial", "reason": "out of time"}
    lab.spoil(run_id, snapshot=snapshot)
    lab.watch(check=1)
    (reason,) = lab.reasons(run_id)
    assert f"the code of run {run_id} lacks a part of it: whatever else" in reason["reason"]
    assert "out of time" in reason["reason"]


def test_a_run_without_code_is_evaluated_with_the_current_and_marked(lab):
    run_id = lab.train()
    lab.spoil(run_id, snapshot={"kind": "none", "reason": "git failed"})
    write(lab.top / "model.py", "VALUE = 2\n")
    why = "no code was recorded for this run (git failed)"
    assert f"{why}: evaluated with the current code" in lab.watch()
    (meta,) = lab.metas(run_id)
    assert meta["metrics"]["value"] == 2.0
    assert (meta["code"]["mode"], meta["code"]["why"]) == ("current", why)
    assert f"validation: {why}" in lab.labbook("show", run_id).output


def test_a_damaged_folder_of_the_cache_is_made_again(lab):
    run_id = lab.train("--steps", "2")
    lab.watch("--policy", "every=2")
    (tree,) = lab.trees()
    write(tree / "a lab/model.py", "VALUE = 3\n")
    lab.watch("--policy", "all")
    assert [meta["metrics"]["value"] for meta in lab.metas(run_id)] == [1.0, 1.0]
    assert len(lab.trees()) == 1


def test_folders_that_nobody_used_for_long_are_removed(lab):
    lab.train()
    lab.watch()
    (tree,) = lab.trees()
    half = tree.with_name(".half-made")
    half.mkdir()
    assert clean(lab.cache, kept_s=3600) == []
    for old in (tree / "made.json", half):
        os.utime(old, (0, 0))
    assert sorted(clean(lab.cache)) == sorted([tree, half])
    assert lab.trees() == []
    assert (lab.top / "data/x.txt").exists()  # a link is removed, not what it leads to


def test_gc_lists_the_cache_of_code_and_empties_it_when_told(lab):
    run_id = lab.train()
    lab.watch()
    (tree,) = lab.trees()
    size = sum(path.lstat().st_size for path in lab.cache.rglob("*") if path.is_file())
    lines = lab.labbook("gc").output.splitlines()
    assert lines[0] == "nothing to delete"
    assert lines[-1].startswith(f"the watchers' cache {lab.cache} holds 1 code of runs, ")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(tree / "made.json", (two_days_ago, two_days_ago))
    listed = json.loads(lab.labbook("gc", "--json").output)
    assert [(each["kind"], each["path"]) for each in listed["garbage"]] == [("cache", str(tree))]
    assert listed["cache"] == {"path": str(lab.cache), "codes": 1, "bytes": size}
    assert f"cache  {tree}  " in lab.labbook("gc").output
    assert tree.is_dir()  # until told
    assert "1 deleted" in lab.labbook("gc", "--yes").output
    assert lab.trees() == []
    assert (lab.top / "data/x.txt").exists()
    write(lab.top / "evaluation.py", EVALUATION + "# changed\n")
    lab.train("--seed", "1")
    lab.watch()  # made again, by who needs it
    assert len(lab.trees()) == 1
    assert len(lab.metas(run_id)) == 1


def test_a_worker_that_waits_keeps_its_code_in_use():
    commands = queue.SimpleQueue()

    class Tree:
        touched = 0

        def touch(self):
            self.touched += 1
            if self.touched == 3:
                commands.put({"key": "k"})

    tree = Tree()
    assert next(_coming(commands, tree, every_s=0.001)) == {"key": "k"}
    assert tree.touched >= 3


def test_an_import_that_fails_in_a_runs_code_is_that_runs_reason(lab):
    good = lab.train("--seed", "1")
    write(lab.top / "evaluation.py", "import no_such_thing\n")
    bad = lab.train("--seed", "2")
    said = lab.watch(check=1)
    assert "No module named 'no_such_thing'" in said
    assert len(lab.metas(good)) == 1
    (reason,) = lab.reasons(bad)
    assert "evaluation.py line 1: ModuleNotFoundError" in reason["reason"]


def test_equal_reasons_are_said_once_with_the_users_own_file(lab):
    wrong = EVALUATION.replace("return {", 'raise ValueError("nothing fits")\n        return {')
    line = wrong[: wrong.index("raise")].count("\n") + 1
    write(lab.top / "evaluation.py", wrong)
    run_id = lab.train("--steps", "3")
    done = lab.program("evaluate", run_id, **lab.environment())
    assert done.returncode == 1
    text = f"evaluation.py line {line}: ValueError: nothing fits"
    assert f": {text} (given up)" in done.stderr
    reasons = lab.reasons(run_id)
    assert [reason["reason"] for reason in reasons] == [text] * 3
    tree = lab.conditions(run_id)["snapshot"]["tree"]
    for reason in reasons:
        assert (reason["code"]["mode"], reason["code"]["tree"]) == ("run", tree)
        assert reason["code"]["digest"]
        assert f'File "evaluation.py", line {line}, in step' in reason["traceback"]
        assert str(lab.cache) not in reason["traceback"]
    shown = lab.labbook("show", run_id).output
    assert f"3 checkpoints (step 0, 1, 2): validation failed: {text}" in shown
    assert shown.count("nothing fits") == 1


def test_a_reason_names_the_current_code_it_was_tried_in(lab):
    run_id = lab.train()
    write(lab.top / "evaluation.py", EVALUATION.replace("return {", "1 / 0\n        return {"))
    lab.watch("--code", "current", check=1)
    (reason,) = lab.reasons(run_id)
    assert "ZeroDivisionError" in reason["reason"]
    assert (reason["code"]["mode"], reason["code"]["tree"]) == ("current", None)
    shown = lab.labbook("show", run_id).output
    assert "step 0: validation failed with the current code: " in shown


def test_a_file_that_is_nowhere_ends_the_watcher(lab):
    run_id = lab.train()
    said = lab.watch("nowhere.py", check=1)
    assert f"there is no file {lab.top / 'nowhere.py'}, nor is it in code " in said
    assert lab.reasons(run_id) == []


def test_code_of_another_host_is_run_only_when_told(lab):
    run_id = lab.train()
    lab.spoil(run_id, host="elsewhere")
    said = lab.watch(check=1)
    assert "recorded on host elsewhere, and evaluating executes it" in said
    assert "--yes" in lab.reasons(run_id)[0]["reason"]
    assert lab.imported() == []
    lab.watch("--yes")
    assert len(lab.metas(run_id)) == 1


def test_two_codes_take_turns_with_one_worker_each(lab):
    runs = [lab.train("--steps", "3", "--seed", "1")]
    write(lab.top / "model.py", "VALUE = 2\n")
    runs.append(lab.train("--steps", "3", "--seed", "2"))
    lab.watch("--policy", "all")
    values = [[meta["metrics"]["value"] for meta in lab.metas(run_id)] for run_id in runs]
    assert values == [[1.0] * 3, [2.0] * 3]
    assert sorted(lab.imported()) == ["1", "2"]


def test_watchers_at_once_make_one_folder(lab):
    run_id = lab.train("--steps", "4")
    watchers = [
        subprocess.Popen(
            [sys.executable, "-m", "labbook.cli", "watch", "evaluation.py", "--once"],
            cwd=lab.top,
            env={**environment_(), **lab.environment()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(3)
    ]
    assert [watcher.wait() for watcher in watchers] == [0, 0, 0]
    assert len(lab.metas(run_id)) == 4
    assert len(lab.trees()) == 1


def test_another_environment_is_said_once_and_kept(lab):
    run_id = lab.train("--steps", "2")
    packages = {**lab.conditions(run_id)["packages"], "torch": "1.0.0", "ruff": "0.0.1"}
    lab.spoil(run_id, packages=packages)
    said = lab.watch()
    assert said.count("evaluated in another environment: torch 1.0.0 then, ") == 1
    found = lab.metas(run_id)[0]["environment"]
    assert [(each["name"], each["is_major"]) for each in found["differs"]] == [("torch", True)]
    assert found["n_others"] == 1


def test_data_that_changed_are_said_and_shown(lab):
    run_id = lab.train("--steps", "2")
    lab.watch("--policy", "every=2")
    write(lab.top / "data/x.txt", "1 2 3 4")
    said = lab.watch("--policy", "all")
    assert "the data are not those of step 1: not comparable" in said
    shown = lab.labbook("show", run_id).output
    assert "validation: of 2 different data sets" in shown


def test_editable_installs_are_as_they_were(lab, tmp_path):
    other = repository(tmp_path / "other", {"src/shared.py": "VALUE = 7\n"})
    site = tmp_path / "site"
    write(site / "shared-1.0.dist-info/METADATA", "")
    url = {"url": other.as_uri(), "dir_info": {"editable": True}}
    write(site / "shared-1.0.dist-info/direct_url.json", json.dumps(url))
    write(lab.top / "model.py", "from shared import VALUE\n")
    path = os.pathsep.join([str(ROOT), str(site), str(other / "src")])
    run_id = lab.train(PYTHONPATH=path)
    write(other / "src/shared.py", "VALUE = 8\n")
    lab.watch(PYTHONPATH=path)
    (meta,) = lab.metas(run_id)
    assert meta["metrics"]["value"] == 7.0
    assert "shared:src/shared.py" in meta["code"]["files"]


def test_a_relative_pythonpath_leads_into_the_code(lab):
    write(lab.top / "src/model.py", "VALUE = 5\n")
    (lab.top / "model.py").unlink()
    run_id = lab.train(PYTHONPATH=os.pathsep.join([str(ROOT), "src"]))
    write(lab.top / "src/model.py", "VALUE = 6\n")
    lab.watch(PYTHONPATH=os.pathsep.join([str(ROOT), "src"]))
    assert lab.metas(run_id)[0]["metrics"]["value"] == 5.0
