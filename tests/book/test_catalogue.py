from __future__ import annotations

import os
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from labbook.book import catalogue
from labbook.book.reading import Book
from labbook.book.seal import seal_span
from tests.book.making import WRITER


def settled(make, n: int = 3, **conditions):
    """Finished runs whose folders are old enough to be trusted."""
    runs = []
    for index in range(n):
        run = make(name=f"run {index}")
        run.process(arguments={"values": {"lr": 0.1 * index, "net": {"depth": index}}})
        journal = run.journal()
        for step in range(5):
            journal.row("series", ("loss",), (step + index,), step)
        journal.close()
        seal_span(run.paths, WRITER, 1, journal.number, finish=True)
        run.end()
        age(run)
        runs.append(run)
    return runs


def age(run, seconds: float = 10) -> None:
    then = time.time() - seconds
    for folder in (run.paths.meta, run.paths.root):
        os.utime(folder, (then, then))


@pytest.fixture
def reads(monkeypatch):
    """Ids of the runs that are read in full, in order."""
    found = []
    read = Book._read

    def counted(self, run_id, key):
        found.append(run_id)
        return read(self, run_id, key)

    monkeypatch.setattr(Book, "_read", counted)
    return found


def test_settled_runs_are_read_once(make, paths, reads):
    runs = settled(make)
    first = Book(paths)
    before = first.summaries()
    table = first.runs()
    assert len(reads) == 3
    reads.clear()
    assert first.summaries() == before
    later = Book(paths)
    assert later.summaries() == before
    assert later.runs().equals(table)
    assert reads == []
    assert [s.id for s in before] == sorted((r.paths.id for r in runs), reverse=True)
    assert before[0].arguments == {"lr": 0.2, "net.depth": 2}
    assert before[0].stats["loss"].last == 6.0
    assert before[0].tags == ()


@pytest.mark.parametrize("change", ["tag", "ends", "resumes"])
def test_a_change_is_noticed(make, paths, reads, change):
    runs = settled(make)
    book = Book(paths)
    book.summaries()
    reads.clear()
    changed = runs[1]
    if change == "tag":
        changed.fact("tags", tags=["good"])
    elif change == "resumes":
        changed.process("r0-bbbbbb", 2)
        os.utime(changed.paths.root)
    else:
        changed.end(state="failed", exit_code=3)
        os.utime(changed.paths.root)
    for one in (book, Book(paths)):
        reads.clear()
        found = {s.id: s for s in one.summaries()}
        assert reads == [changed.paths.id]
        state = found[changed.paths.id]
        expected = {
            "tag": (("good",), "finished"),
            "ends": ((), "failed"),
            "resumes": ((), "running"),
        }
        assert (state.tags, state.state) == expected[change]
        row = one.runs().filter(catalogue_id(one, changed.paths.id)).to_pylist()[0]
        assert row["state"] == state.state
        assert row["tags"] == list(state.tags)


def catalogue_id(book, run_id):
    import pyarrow.compute as pc

    return pc.equal(book.runs()["id"], run_id)


def test_a_change_within_the_clocks_tick_is_noticed(make, paths, reads):
    (run,) = settled(make, 1)
    same = time.time_ns()
    os.utime(run.paths.root, ns=(same, same))
    book = Book(paths)
    assert book.summaries()[0].tags == ()
    run.fact("tags", tags=["quick"])
    os.utime(run.paths.root, ns=(same, same))
    os.utime(run.paths.meta, ns=(same, same))
    assert book.summaries()[0].tags == ("quick",)


def test_an_exit_status_that_follows_the_end_is_noticed(make, paths):
    (run,) = settled(make, 1)
    status = run.paths.exit_status(1, WRITER)
    status.write_bytes(b"")
    assert Book(paths).summaries()[0].state == "finished"
    status.write_bytes(b"\3")  # nobody touches the folder
    assert Book(paths).summaries()[0].state == "failed"


def test_removed_runs_go_and_new_ones_come(make, paths):
    runs = settled(make)
    book = Book(paths)
    book.runs()
    os.rename(runs[0].paths.root, paths.root / "gone")
    new = settled(make, 1)[0]
    assert [s.id for s in book.summaries()] == [r.paths.id for r in (new, runs[2], runs[1])]
    assert book.runs()["id"].to_pylist() == [r.paths.id for r in (new, runs[2], runs[1])]
    assert Book(paths).runs().equals(book.runs())


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"x" * 1000, "a table", "an old one"])
def test_a_missing_or_damaged_catalogue_is_built_anew(make, paths, reads, content):
    settled(make)
    before = Book(paths).summaries()
    if content is None:
        paths.catalog.unlink()
    elif content == "a table":
        pq.write_table(pq.read_table(paths.catalog).select(["id"]), paths.catalog)
    elif content == "an old one":
        table = pq.read_table(paths.catalog).replace_schema_metadata({b"labbook.catalogue": b"0"})
        pq.write_table(table, paths.catalog)
    else:
        paths.catalog.write_bytes(content)
    reads.clear()
    assert Book(paths).summaries() == before
    assert len(reads) == 3
    reads.clear()
    assert Book(paths).summaries() == before
    assert reads == []


def test_a_book_that_cannot_be_written_to_is_read_without_a_cache(make, paths, monkeypatch):
    settled(make)

    def refuse(*_):
        raise PermissionError(13, "read-only")

    # a test run as root may write anywhere
    monkeypatch.setattr(catalogue.os, "replace", refuse)
    book = Book(paths)
    assert len(book.summaries()) == 3
    assert book.runs().num_rows == 3
    assert sorted(p.name for p in paths.root.iterdir()) == ["book.json", "runs"]


def test_live_runs_are_followed_and_never_cached(make, paths, reads):
    settled(make, 2)
    run = make("20270101-000000-aaaaaa")
    run.process()
    lock = run.lock()
    journal = run.journal()
    book = Book(paths)
    age(run)
    for step in range(3):
        journal.row("series", ("loss",), (float(step),), step)
        summary = book.summaries()[0]
        assert (summary.id, summary.state) == (run.paths.id, "running")
        assert summary.stats["loss"].count == step + 1
        assert book.runs()["count.loss"].to_pylist()[0] == step + 1
        assert Book(paths).summaries()[0].stats["loss"].count == step + 1
    journal.close()
    run.end()
    lock.release()
    os.utime(run.paths.root)
    assert book.summaries()[0].state == "finished"


def test_a_killed_run_is_judged_by_each_reader_for_itself(make, paths, monkeypatch, reads):
    run = make()
    child = subprocess.Popen([sys.executable, "-c", ""])
    run.process(pid=child.pid)
    child.wait()
    journal = run.journal()
    journal.row("series", ("loss",), (1.0,), 0)
    journal.close()
    age(run)
    assert Book(paths).summaries()[0].state == "killed"
    reads.clear()
    assert Book(paths).summaries()[0].state == "killed"
    assert reads == []
    run.process(pid=child.pid, host="node7")
    age(run, 5)
    assert Book(paths).summaries()[0].state == "unknown"
    reads.clear()
    assert Book(paths).summaries()[0].state == "unknown"
    assert reads == []  # until something is written there
    with open(run.paths.segment(WRITER, 1), "ab") as segment:
        segment.write(b"x")
    assert Book(paths).summaries()[0].state == "unknown"
    assert reads == [run.paths.id]


def test_columns_of_the_run_table(make, paths):
    kinds = [
        {"lr": 1, "net": "cnn", "both": 1, "big": 2**60, "flag": True, "list": [1, 2]},
        {"lr": 0.5, "net": None, "both": "one", "big": 0.5, "flag": False},
        {"lr": None, "empty": {}, "mixed": [None, "x"]},
    ]
    for index, values in enumerate(kinds):
        run = make(f"2026010{index}-000000-aaaaaa")
        git = {"commit": "abc", "branch": "main", "dirty": [{"path": "x.py"}] * index}
        run.process(arguments={"values": values}, git=git)
        run.end()
        age(run)
        # one at a time: the table made in steps is the table made at once
        stepwise = Book(paths).runs()
    paths.catalog.unlink()
    table = Book(paths).runs()
    assert table["args.lr"].to_pylist() == [None, 0.5, 1.0]
    assert table["args.net"].to_pylist() == [None, None, "cnn"]
    assert table["args.both"].to_pylist() == [None, "one", "1"]
    assert table["args.big"].to_pylist() == [None, "0.5", str(2**60)]
    assert table["args.flag"].to_pylist() == [None, False, True]
    assert table["args.list"].to_pylist() == [None, None, "[1, 2]"]
    assert table["args.empty"].to_pylist() == ["{}", None, None]
    assert table["git.dirty"].to_pylist() == [True, True, False]
    assert table["git.dirty_files"].to_pylist() == [["x.py", "x.py"], ["x.py"], []]
    assert table.column_names[:3] == ["id", "name", "state"]
    assert set(stepwise.column_names) == set(table.column_names)
    for name in set(table.column_names) - {"args.big"}:
        assert stepwise[name].to_pylist() == table[name].to_pylist(), name


def test_a_catalogue_is_plain_parquet(make, paths):
    settled(make)
    Book(paths).summaries()
    table = pq.read_table(paths.catalog)
    assert {"id", "name", "state", "args.lr", "last.loss"} <= set(table.column_names)


def test_runs_of_one_second_are_in_the_order_in_which_they_began(book, paths, make):
    later = make("20260101-000000-aaaaaa", created_ns=1_767_225_600_900_000_000)
    first = make("20260101-000000-zzzzzz", created_ns=1_767_225_600_100_000_000)
    before = make("20251231-235959-mmmmmm", created_ns=1_767_225_599_100_000_000)
    wanted = [run.paths.id for run in (later, first, before)]
    assert [summary.id for summary in book.summaries()] == wanted
    assert book.runs()["id"].to_pylist() == wanted
    assert [summary.id for summary in Book(paths).summaries()] == wanted  # from the catalogue


def test_many_runs_are_read_in_turns(make, paths, reads, monkeypatch):
    monkeypatch.setattr("labbook.book.reading.KEEP_RUNS", 4)
    runs = [run.paths.id for run in reversed(settled(make, 4))]
    book = Book(paths)
    for n in range(1, 4):
        found, left = book.summaries_within(0.0)
        assert [summary.id for summary in found] == runs[:n]  # newest first
        assert left == 4 - n
        assert not paths.catalog.exists()
    found, left = book.summaries_within(0.0)
    assert ([summary.id for summary in found], left) == (runs, 0)
    assert reads == runs
    assert Book(paths).summaries() == found
    assert Book(paths).runs().equals(book.runs())
    assert reads == runs  # all from the catalogue


def test_what_was_read_of_many_runs_is_kept_meanwhile(make, paths, reads, monkeypatch):
    runs = [run.paths.id for run in reversed(settled(make, 4))]
    monkeypatch.setattr("labbook.book.reading.KEEP_RUNS", 1)
    monkeypatch.setattr("labbook.book.reading.KEEP_S", 0.0)
    Book(paths).summaries_within(0.0)
    Book(paths).summaries_within(0.0)
    assert reads == runs[:2]
    assert len(Book(paths).summaries()) == 4
    assert reads == runs


def test_a_few_new_runs_wait_for_a_program_that_ends(make, paths):
    settled(make)
    book = Book(paths)
    assert book.summaries_within(60.0)[1] == 0
    assert not paths.catalog.exists()
    book.summaries()
    assert paths.catalog.exists()


def test_every_live_run_gets_its_turn(make, paths, reads):
    runs = [make(name=f"live {n}") for n in range(3)]
    for run in runs:
        run.process(seen_ns=time.time_ns())
    book = Book(paths)
    for _ in range(6):
        book.summaries_within(0.0)
    newest_first = [run.paths.id for run in reversed(runs)]
    assert reads == newest_first * 2


def test_a_table_that_another_program_wrote_is_not_mixed_with_what_is_known(make, paths):
    runs = settled(make)
    Book(paths).summaries()
    book = Book(paths)
    book.summaries()  # the entries are read, the table is not yet
    runs[1].fact("tags", tags=["good"])
    age(runs[1], 5)
    Book(paths).summaries()  # the catalogue has the tag now
    kept = catalogue.load_table(paths, book._known)
    assert kept["id"].to_pylist() == [runs[2].paths.id, runs[0].paths.id]
    assert book.runs()["tags"].to_pylist() == [[], ["good"], []]
