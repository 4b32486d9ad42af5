"""gc names what could go and deletes it only when told; copies take the code along."""

import os
import shutil
import subprocess
import textwrap

import pytest

import labbook
from labbook.cli.code import code_kept
from labbook.conditions.objects import ObjectReader
from labbook.paths import BookPaths
from labbook.upkeep import code, gc
from labbook.upkeep.copying import copy_run
from labbook.upkeep.removal import remove
from tests.client.conftest import Script, conditions_of

TRAIN = """
    import labbook
    with labbook.start({}, gauges=False, output=False) as run:
        run.log(loss=1.0)
"""


@pytest.fixture
def repository(tmp_path):
    script = Script(tmp_path)
    script.write(TRAIN)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "train.py"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    return script


def tree_of(paths):
    return conditions_of(paths)["snapshot"]["tree"]


def text_in(code_git, tree, name):
    with ObjectReader(code_git) as reader:
        (oid,) = [file.oid for file in reader.files(tree) if file.path == name]
        return reader.read(oid).decode()


def age(folder):
    for parent, _, files in os.walk(folder):
        for name in files:
            os.utime(os.path.join(parent, name), (0, 0))


def test_code_of_a_removed_run_goes_and_that_of_another_stays(repository):
    assert repository.run(TRAIN).returncode == 0
    first = repository.only()
    changed = TRAIN + "    # changed\n"
    assert repository.run(changed).returncode == 0
    second = next(run for run in repository.runs() if run.id != first.id)
    book = repository.book
    assert gc.survey(book) == []
    gone = tree_of(second)
    remove(book, labbook.open(book.root).run(second.id))
    age(book.trash)
    age(book.code)
    garbage = gc.survey(book)
    assert {each.kind for each in garbage} == {"trash", "code"}
    assert (book.trash / second.id).exists()  # nothing was touched
    assert gc.collect(book, garbage) == []
    assert not (book.trash / second.id).exists()
    kept = tree_of(first)
    assert text_in(book.code, kept, "train.py") == textwrap.dedent(TRAIN)
    with ObjectReader(book.code) as reader:
        assert not reader.has(gone)
    assert gc.survey(book) == []


def test_a_run_in_the_trash_keeps_its_code_until_it_goes_itself(repository):
    repository.run(TRAIN)
    run = repository.only()
    tree = tree_of(run)
    remove(repository.book, labbook.open(repository.book.root).run(run.id))
    age(repository.book.code)
    assert gc.survey(repository.book) == []
    assert text_in(repository.book.code, tree, "train.py") == textwrap.dedent(TRAIN)


def test_a_copy_in_another_book_has_its_code(repository, tmp_path):
    repository.run(TRAIN)
    run = labbook.open(repository.book.root).run(repository.only().id)
    target = copy_run(run, tmp_path / "other" / ".labbook")
    tree = tree_of(target.run(run.id))
    assert text_in(target.code, tree, "train.py") == textwrap.dedent(TRAIN)
    assert {ref.name for ref in code.refs(target.code)} == {
        ref.name for ref in code.refs(repository.book.code)
    }


def test_a_run_without_code_copies_without_it(tmp_path):
    assert code.copy_code(BookPaths(tmp_path / "none").code, tmp_path / "to", set()) == 0


def test_a_bare_copy_of_a_folder_says_that_its_code_is_absent(repository, tmp_path):
    repository.run(TRAIN)
    run = repository.only()
    bare = BookPaths(tmp_path / "bare" / ".labbook")
    bare.runs.mkdir(parents=True)
    bare.book_json.write_bytes(repository.book.book_json.read_bytes())
    shutil.copytree(run.root, bare.run(run.id).root)
    assert code_kept(labbook.open(repository.book.root).run(run.id))["state"] == "kept"
    copied = labbook.open(bare.root).run(run.id)
    assert code_kept(copied)["state"] == "absent"
    assert copied.series("loss")["value"].to_pylist() == [1.0]
    assert copied.state.name == "finished"


def test_refs_that_were_packed_keep_their_code(repository, tmp_path):
    repository.run(TRAIN)
    first = repository.only()
    book = repository.book
    subprocess.run(["git", "--git-dir", str(book.code), "pack-refs", "--all"], check=True)
    repository.run(TRAIN + "    # changed\n")
    second = next(run for run in repository.runs() if run.id != first.id)
    remove(book, labbook.open(book.root).run(second.id))
    age(book.trash)
    age(book.code)
    garbage = gc.survey(book)
    assert garbage
    assert gc.collect(book, garbage) == []
    assert text_in(book.code, tree_of(first), "train.py") == textwrap.dedent(TRAIN)
    target = copy_run(labbook.open(book.root).run(first.id), tmp_path / "other" / ".labbook")
    assert text_in(target.code, tree_of(first), "train.py") == textwrap.dedent(TRAIN)
