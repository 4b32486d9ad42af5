"""Two real runs and what is said about them."""

import json
import shutil

import pytest

from labbook.compare import diff
from tests.compare.conftest import TRAIN, Project
from tests.conditions.gitrepo import git, write


def compare(project, a, b):
    return diff(project.reader(a), project.reader(b))


def test_the_same_run_twice(project):
    found = compare(project, project.train(), project.train())
    assert found.changes == found.seed_changes == found.unknown == ()
    assert found.code.is_changed is False
    assert found.headline == "nothing changed"
    assert not found.is_warning


def test_one_argument(project):
    a, b = project.train(), project.train("--lr", "3e-4")
    found = compare(project, a, b)
    assert found.headline == "one thing changed: lr 1e-3 → 3e-4"
    [item] = found.section("arguments").items
    assert (item.a, item.b, item.a_default, item.b_default) == (0.001, 0.0003, True, False)
    # without `step` in between: the other way round is the other way round
    assert compare(project, b, a).headline == "one thing changed: lr 3e-4 → 1e-3"


def test_seeds_are_counted_apart(project):
    base = project.train()
    seeded = compare(project, base, project.train("--seed", "1"))
    assert seeded.changes == ()
    assert seeded.headline == "only the seed changed: seed 0 → 1"
    both = compare(project, base, project.train("--seed", "1", "--layers", "3"))
    assert both.headline == "one thing changed: layers 2 → 3 (and the seed: seed 0 → 1)"


def test_unseeded_generators_are_mentioned_and_not_counted(project):
    code = TRAIN.replace("seed=args.seed, ", "")
    project.edit("train.py", code)
    found = compare(project, project.train(), project.train())
    assert found.headline.startswith("nothing changed but the state of the random generators")
    assert "python" in found.generators


def test_several_things_at_once_are_a_warning(project):
    a = project.train()
    project.edit("train.py", TRAIN + "# more\n")
    found = compare(project, a, project.train("--lr", "1", "--layers", "5"))
    assert found.is_warning
    assert found.headline == (
        "3 things changed at once: lr 1e-3 → 1.0, layers 2 → 5, code (train.py)"
    )


def test_a_committed_change_is_the_same_code_as_it_was_dirty(project):
    project.edit("train.py", TRAIN + "# more\n")
    dirty = project.train()
    project.commit("second")
    found = compare(project, dirty, project.train())
    assert found.code.is_changed is False
    assert (found.code.dirty_a, found.code.dirty_b) == (1, 0)
    assert found.changes == ()


def test_files_of_every_kind_of_change(project):
    project.edit("gone.py", "x = 1\n")
    project.edit("old name.py", "".join(f"line {n}\n" for n in range(30)))
    project.edit("weights.bin", bytes(range(256)))
    project.edit("tool.sh", "echo\n")
    project.edit("folder/tab\tand\nline.py", "a\n")
    project.commit("more")
    a = project.train()
    folder = project.folder
    (folder / "gone.py").unlink()
    (folder / "old name.py").rename(folder / "new name.py")
    project.edit("weights.bin", bytes(reversed(range(256))))
    (folder / "tool.sh").chmod(0o755)
    project.edit("folder/tab\tand\nline.py", "a\nb\n")
    project.edit("untracked.py", "one\ntwo\n")
    found = compare(project, a, project.train())
    about = {f.path: (f.status, f.added, f.removed, f.is_binary) for f in found.code.files}
    assert about == {
        "folder/tab\tand\nline.py": ("changed", 1, 0, False),
        "gone.py": ("removed", 0, 1, False),
        "new name.py": ("renamed", 0, 0, False),
        "tool.sh": ("mode", 0, 0, False),
        "untracked.py": ("added", 2, 0, False),
        "weights.bin": ("changed", None, None, True),
    }
    [renamed] = [file for file in found.code.files if file.status == "renamed"]
    assert renamed.old_path == "old name.py"
    patch = found.code.patch()
    assert "+two\n" in patch
    assert "Binary files a/weights.bin and b/weights.bin differ" in patch


def test_the_patch_applies(project):
    a = project.train()
    project.edit("train.py", TRAIN.replace("args = ", "\targs = ", 1).replace("\targs", "args"))
    project.edit("Makefile", "all:\n\techo done\n")
    b = project.train()
    git(project.folder, "checkout", "-q", "--", ".")
    (project.folder / "Makefile").unlink()
    lines = project.labbook("diff", a, b, "--only", "code").splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("  diff --git"))
    text = "".join(f"{line[2:]}\n" for line in lines[first:])
    write(project.folder.parent / "change.patch", text)
    git(project.folder, "apply", str(project.folder.parent / "change.patch"))
    assert (project.folder / "Makefile").read_text() == "all:\n\techo done\n"


def test_other_line_endings_are_other_bytes(project):
    project.edit(".gitattributes", "*.py text=auto\n")
    project.edit("model.py", "a = 1\nb = 2\n")
    project.commit("attributes")
    a = project.train()
    project.edit("model.py", "a = 1\r\nb = 2\r\n")
    found = compare(project, a, project.train())
    assert found.code.is_changed
    assert [(file.path, file.status) for file in found.code.files] == [("model.py", "bytes")]


def test_a_repository_inside(project):
    inner = project.folder / "library"
    inner.mkdir()
    git(inner, "init", "-q", "-b", "main")
    write(inner / "lib.py", "x = 1\n")
    git(inner, "add", "-A")
    git(inner, "commit", "-q", "-m", "library")
    a = project.train()
    write(inner / "lib.py", "x = 2\n")
    found = compare(project, a, project.train())
    assert [file.path for file in found.code.files] == ["library/lib.py"]
    assert "# library\n" in found.code.patch()
    assert found.headline == "one thing changed: code (library/lib.py)"


def test_without_git(tmp_path):
    project = Project(tmp_path, with_git=False)
    a = project.train()
    project.edit("train.py", TRAIN + "# more\n")
    found = compare(project, a, project.train())
    assert found.headline == "one thing changed: code (train.py)"
    assert found.code.commit_a is found.code.dirty_a is None
    assert "+# more" in found.code.patch()


def test_another_script(project):
    a = project.train()
    project.edit("other.py", TRAIN)
    project.commit("other")
    b = project.train()
    done = project.run(TRAIN, name="other.py")
    assert done.returncode == 0
    [c] = set(project.book.run_ids()) - {a, b}
    assert compare(project, b, c).headline == "one thing changed: script train.py → other.py"


def test_nothing_is_equal_for_want_of_a_record(project):
    """Neither a run without a snapshot nor one without conditions passes for unchanged."""
    a, b, c = project.train(), project.train(), project.train()
    spoil(project, b, snapshot={"kind": "none", "reason": "out of disk"}, git=None)
    project.conditions(c).write_text("{}")
    found = compare(project, a, b)
    assert found.code.is_changed is None
    assert found.headline == "nothing changed; not known: code"
    assert "out of disk" in project.labbook("diff", a, b)
    found = compare(project, a, c)
    assert {"arguments", "code", "packages", "python", "machine"} <= set(found.unknown)


def test_two_clean_commits_tell_where_snapshots_do_not(project):
    a, b = project.train(), project.train()
    project.edit("train.py", TRAIN + "# more\n")
    project.commit("second")
    c = project.train()
    for run in (a, b, c):
        spoil(project, run, snapshot=None)
    assert compare(project, a, b).code.is_changed is False
    found = compare(project, a, c).code
    assert found.is_changed is True
    assert found.files == ()
    assert "no snapshot was recorded" in found.unlisted


def test_a_partial_snapshot_is_said(project):
    a = project.train()
    project.edit("train.py", TRAIN + "# more\n")
    b = project.train()
    snapshot = json.loads(project.conditions(b).read_text())["snapshot"]
    missing = {**snapshot, "kind": "partial", "reason": "out of time", "tree": "1" * 40}
    spoil(project, b, snapshot=missing)
    found = compare(project, a, b)
    assert found.code.is_changed
    assert found.code.unlisted == "the code of B was stored in part: out of time"
    assert found.code.patch() == ""
    assert "B was stored in part: out of time" in project.labbook("diff", a, b)


def test_code_that_is_not_in_the_book(project, tmp_path):
    a = project.train()
    project.edit("train.py", TRAIN + "# more\n")
    b = project.train()
    shutil.rmtree(project.book.code / "objects")
    (project.book.code / "objects").mkdir()
    found = compare(project, a, b)
    assert found.headline == "one thing changed: code"
    assert found.code.unlisted == "the code of A is not in this book (code: absent)"
    shutil.rmtree(project.book.code)
    assert "no code is stored in this book" in project.labbook("diff", a, b)


def test_left_out_files_that_changed(project):
    big = project.folder / "data.bin"
    with open(big, "wb") as file:
        file.truncate(11 << 20)
    a = project.train()
    with open(big, "wb") as file:
        file.truncate(12 << 20)
    found = compare(project, a, project.train())
    assert found.code.is_changed is False
    assert found.code.notes == (
        "data.bin is left out of the snapshots, and changed in size or time",
    )


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({"packages": {"torch": "2.2"}}, "one thing changed: packages (torch 2.1 → 2.2)"),
        (
            {"packages": {"torch": "2.2", "numpy": "1"}},
            "one thing changed: packages (torch 2.1 → 2.2, + numpy 1)",
        ),
        ({"python": {"version": "3.12.0"}}, "one thing changed: python (version 3.11.7 → 3.12.0)"),
        (
            {"machine": {"cpu": "X", "gpus": [{"name": "H100", "uuid": "1"}] * 2}},
            "one thing changed: machine (gpus none → 2 × H100)",
        ),
        ({"host": "other"}, "nothing changed"),
        ({"environment": {"LABBOOK_NAME": "x", "SLURM_JOB_ID": "4"}}, "nothing changed"),
        (
            {"environment": {"OMP_NUM_THREADS": "1"}},
            "one thing changed: environment (+ OMP_NUM_THREADS 1)",
        ),
        ({"world_size": 8}, "one thing changed: processes 1 → 8"),
        (
            {"packages": {}, "world_size": 2},
            "one thing changed: processes 1 → 2; not known: packages",
        ),
    ],
)
def test_what_counts_as_one_change(project, changes, headline):
    a, b = project.train(), project.train()
    base = {"packages": {"torch": "2.1"}, "python": {"version": "3.11.7"}, "environment": {}}
    base |= {"machine": {"cpu": "X", "gpus": []}}
    spoil(project, a, **base)
    spoil(project, b, **base | changes)
    assert compare(project, a, b).headline == headline


def test_masked_arguments_are_not_called_equal(project):
    a, b = project.train(), project.train()
    for run in (a, b):
        spoil(project, run, arguments={"values": {"hf_token": "***"}, "masked": ["hf_token"]})
    [note] = compare(project, a, b).section("arguments").notes
    assert note == "not compared, for they are masked: hf_token"


def test_data_with_another_fingerprint(project):
    a, b, c = project.train(), project.train(), project.train()
    for run, digest in ((a, "sha256:1"), (b, "sha256:2")):
        about = {"fact": "data", "name": "train", "digest": digest, "time_ns": 1}
        (project.book.run(run).meta / "data-train.json").write_text(json.dumps(about))
    assert compare(project, a, b).headline == "one thing changed: data train"
    found = compare(project, a, c)
    assert found.changes == ()
    assert found.section("data").notes == ("train: only one of the runs has a fingerprint",)


def test_other_data_are_seen_by_the_chosen_set(project):
    a = project.train()
    b = project.train(code=TRAIN.replace("np.arange(40.0)", "(np.arange(40.0) * 2)"))
    found = compare(project, a, b)
    assert [item.name for item in found.section("data").items] == ["chosen set chosen"]
    assert found.results.paired == ()
    why = "chosen set chosen is not paired: 8 of its 8 examples differ"
    assert why in found.results.notes
    seeded = project.train(code=TRAIN.replace("n=8)", "n=8, seed=3)"))
    why = "chosen set chosen is not paired: the examples differ: seed 0 and 3"
    assert why in compare(project, a, seeded).results.notes


def test_sets_that_only_one_run_has_are_named(project):
    a = project.train()
    b = project.train(code=TRAIN.replace("n=8)", 'n=8, name="val")'))
    assert compare(project, a, b).results.notes == (
        "chosen set chosen is only in A",
        "chosen set val is only in B",
    )


def spoil(project, run, **changes):
    path = project.conditions(run)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
