import json
import time

import pytest

from labbook.book.reading import Book
from labbook.compare import lineage
from labbook.errors import RunNotFound
from labbook.paths import BookPaths
from tests.book.making import Run
from tests.compare.conftest import TRAIN


def line(project, run):
    return lineage(Book(project.book), run)


def test_step_by_step_back_to_the_beginning(project):
    first = project.train()
    wide = project.train("--layers", "3")
    project.train("--lr", "1", "--layers", "9")  # a dead end
    wide_fast = project.train("--layers", "3", "--lr", "0.1")
    found = line(project, wide_fast)
    assert [a.id for a in found] == [wide_fast, wide, first]
    assert [a.headline for a in found] == [
        "one thing changed: lr 1e-3 → 0.1",
        "one thing changed: layers 2 → 3",
        "",
    ]
    assert [a.how for a in found] == ["same code", "same code", None]


def test_other_code_is_the_second_choice(project):
    first = project.train()
    project.edit("train.py", TRAIN + "# more\n")
    second = project.train()
    third = project.train("--lr", "1")
    assert [(a.id, a.how) for a in line(project, third)] == [
        (third, "same code"),
        (second, "nearest"),
        (first, None),
    ]


def test_a_run_that_names_its_parent(project):
    first = project.train()
    project.train("--lr", "0.1")
    child = project.train("--lr", "0.1", LABBOOK_PARENT=first)
    assert [(a.id, a.how) for a in line(project, child)] == [(child, "parent"), (first, None)]
    orphan = project.train(LABBOOK_PARENT="20200101-000000-zzzzzz")
    [only] = line(project, orphan)
    assert (only.how, only.derived_from) == ("missing", "20200101-000000-zzzzzz")
    assert "from 20200101-000000-zzzzzz, which is not in this book" in project.labbook(
        "lineage", orphan
    )


def test_parents_in_a_circle_end(project):
    a = project.train()
    b = project.train(LABBOOK_PARENT=a)
    path = project.book.run(a).run_json
    path.write_text(json.dumps(json.loads(path.read_text()) | {"parent": b}))
    assert [ancestor.id for ancestor in line(project, b)] == [b, a]


def test_another_script_is_no_ancestor(project):
    project.train()
    project.edit("other.py", TRAIN)
    before = set(project.book.run_ids())
    assert project.run(TRAIN, name="other.py").returncode == 0
    [other] = set(project.book.run_ids()) - before
    assert [a.how for a in line(project, other)] == [None]


def test_no_such_run(project):
    project.train()
    with pytest.raises(RunNotFound):
        line(project, "nothing")


def test_the_text_and_the_json(project):
    first = project.train()
    second = project.train("--lr", "1", "--layers", "3")
    text = project.labbook("lineage", second).splitlines()
    assert text[0].startswith(f"{second}  train-")
    assert text[1] == "  2 things changed at once: lr 1e-3 → 1.0, layers 2 → 3"
    assert text[2] == "  (from the run most like it: same code)"
    assert text[4] == "  the beginning"
    found = json.loads(project.labbook("lineage", second, "--json", "--limit", "1"))
    assert [(a["id"], a["derived_from"]) for a in found] == [(second, first)]
    assert [c["section"] for c in found[0]["changes"]] == ["arguments", "arguments"]


def test_a_thousand_runs_in_one_line(tmp_path):
    """Each run has one argument more than the one before; none of their series is opened."""
    root = tmp_path / ".labbook"
    root.mkdir()
    (root / "book.json").write_text('{"format": 1}')
    book = Book(BookPaths(root))
    for n in range(1000):
        made = Run(book.paths, f"20260101-000000-a{n:05d}", created_ns=n)
        values = {f"x{i}": i for i in range(20)} | {"n": n // 10, "m": n % 10}
        made.process(arguments={"values": values}, script="/x/train.py")
        for table in ("series", "seals", "gauges"):
            (made.paths.root / table).write_text("not to be opened")
    started = time.process_time()
    found = lineage(book, "20260101-000000-a00999")
    print(f"{len(found)} runs in {time.process_time() - started:.1f} s")
    assert found[-1].how is None
    assert len(found) > 50
    assert all(len(a.changes) <= 1 for a in found)
