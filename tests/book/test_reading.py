from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import textwrap
from array import array

import pytest

import labbook
from labbook.book.reading import open_book
from labbook.book.seal import seal_span
from labbook.errors import AmbiguousRun, BookNotFound, DamagedFile, RunNotFound, StoreError
from tests.book.making import WRITER, choose, everything, observe


def values(table):
    return list(zip(table["step"].to_pylist(), table["value"].to_pylist(), strict=True))


def test_a_series_is_sorted_by_step_and_keeps_the_order_of_logging(make):
    run = make()
    journal = run.journal()
    for step, value in ((3, 1.0), (1, 2.0), (1, 3.0), (None, 4.0), (2, None)):
        journal.row("series", ("loss",), (value,), step)
    journal.row("series", ("loss", "lr"), (5.0, 0.1), 1)
    table = run.read().series("loss")
    assert table.column_names == ["step", "time", "value"]
    assert values(table) == [(1, 2.0), (1, 3.0), (1, 5.0), (2, None), (3, 1.0), (None, 4.0)]
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"


def test_a_series_never_logged_is_empty(make):
    table = make().read().series("loss")
    assert (table.column_names, table.num_rows) == (["step", "time", "value"], 0)


def test_a_series_is_thinned_only_when_asked_and_keeps_ends_and_extremes(make):
    run = make()
    journal = run.journal()
    for step in range(1000):
        value = {500: 99.0, 501: -99.0, 502: math.nan, 503: None}.get(step, step / 1000)
        journal.row("series", ("loss",), (value,), step)
    reader = run.read()
    assert reader.series("loss").num_rows == 1000
    for most in (4, 10, 101):
        found = dict(values(reader.series("loss", max_points=most)))
        assert len(found) <= most
        assert {0, 500, 501, 999} <= found.keys()
        assert list(found) == sorted(found)
    assert reader.series("loss", max_points=1000).num_rows == 1000


def test_series_are_aligned_by_step(make):
    run = make()
    journal = run.journal()
    journal.row("series", ("loss", "lr"), (1.0, 0.5), 0)
    journal.row("series", ("loss",), (2.0,), 0)
    journal.row("series", ("loss",), (3.0,), 2)
    journal.row("series", ("lr",), (None,), 2)
    journal.row("series", ("lr",), (0.4,), None)
    reader = run.read()
    table = reader.table("lr", "loss")
    assert table.column_names == ["step", "lr", "loss"]
    assert table.to_pydict() == {"step": [0, 2], "lr": [0.5, None], "loss": [2.0, 3.0]}
    assert reader.table().column_names == ["step", "loss", "lr"]
    assert reader.table("nothing").to_pydict() == {"step": [], "nothing": []}


def test_nan_and_infinity_are_values_and_null_is_not(make):
    run = make()
    journal = run.journal()
    for step, value in enumerate((math.nan, None, math.inf, -math.inf)):
        journal.row("series", ("x",), (value,), step)
    for reader in (run.read(), sealed(run, journal)):
        column = reader.series("x")["value"]
        assert column.null_count == 1
        found = column.to_pylist()
        assert math.isnan(found[0])
        assert found[1:] == [None, math.inf, -math.inf]
        stat = reader.stats()["x"]
        assert (stat.last, stat.step, stat.count) == (-math.inf, 3, 3)
        assert (stat.min, stat.max) == (-math.inf, math.inf)


def sealed(run, journal):
    journal.close()
    seal_span(run.paths, journal.writer, 1, journal.number, finish=True)
    return run.read()


@pytest.mark.parametrize("is_sealed", [False, True])
@pytest.mark.parametrize("resume_step", [None, 3])
def test_superseded_rows_are_left_out_unless_asked_for(make, is_sealed, resume_step):
    run = make()
    for attempt, writer, steps in ((1, "r0-aaaaaa", range(6)), (2, "r0-bbbbbb", range(4, 8))):
        run.process(writer, attempt, **({"resume_step": resume_step} if attempt == 2 else {}))
        journal = run.journal(writer)
        for step in steps:
            journal.row("series", ("loss",), (100.0 * attempt + step,), step)
            observe(journal, step, [float(attempt)])
        if attempt == 1:
            journal.row("series", ("only first",), (1.0,), 5)
        journal.close()
        if is_sealed:
            seal_span(run.paths, writer, 1, 1, finish=True)
    reader = run.read()
    begin = 4 if resume_step is None else 3
    kept = [(s, 100.0 + s) for s in range(begin)] + [(s, 200.0 + s) for s in range(4, 8)]
    assert values(reader.series("loss")) == kept
    assert reader.series("loss", superseded=True).num_rows == 10
    stat = reader.stats()["loss"]
    assert (stat.count, stat.min, stat.max, stat.last) == (len(kept), 100.0, 207.0, 207.0)
    # without a resume step only what was logged anew is superseded
    assert reader.series("only first").num_rows == (1 if resume_step is None else 0)
    assert ("only first" in reader.stats()) == (resume_step is None)
    assert reader.chosen().num_rows == len(kept)
    assert reader.chosen(superseded=True).num_rows == 10


def test_ranks_of_one_attempt_do_not_supersede_each_other(make):
    run = make()
    for rank in range(2):
        run.process(f"r{rank}-aaaaaa", 1, rank=rank)
        run.journal(f"r{rank}-aaaaaa").row("series", ("loss",), (float(rank),), 0)
    assert values(run.read().series("loss")) == [(0, 0.0), (0, 1.0)]


def test_a_chosen_set_is_read_by_example_and_step(make):
    run = make()
    journal = run.journal()
    choose(journal, 2)
    for step in (10, 0):
        observe(journal, step, [1.0, 2.0])
    types = set()
    for reader in (run.read(), sealed(run, journal)):
        assert reader.chosen_sets() == ["chosen"]
        table = reader.chosen()
        types.add(str(table["output"].type))
        assert table.column_names == ["step", "time", "example", "loss", "output"]
        assert table["example"].to_pylist() == [0, 0, 1, 1]
        assert table["step"].to_pylist() == [0, 10, 0, 10]
        assert table["output"].to_pylist()[3] == [12.0, 12.0, 12.0]
        examples = reader.examples()
        assert examples.column_names == ["example", "index", "input"]
        about = json.loads(examples.schema.metadata[b"labbook"])
        assert about["shapes"]["input"] == [2, 2]
        assert about["seed"] == 0
        with pytest.raises(StoreError, match="no chosen set 'other'; it has: chosen"):
            reader.chosen("other")
    assert types == {"fixed_size_list<element: float>[3]"}


def test_observations_whose_columns_change_are_all_kept(make):
    run = make()
    journal = run.journal()
    observe(journal, 0, [1.0], width=2)
    observe(journal, 1, [1.0], width=3)
    more = {"name": "hit", "dtype": "|b1", "shape": [1]}
    header = {"table": "chosen", "set": "chosen", "columns": [more]}
    journal.array(header, [b"\1"], 2)
    before = run.read().chosen().to_pylist()
    assert [row["output"] for row in before] == [[1.0, 1.0], [2.0, 2.0, 2.0], None]
    assert [row["hit"] for row in before] == [None, None, True]
    assert sealed(run, journal).chosen().to_pylist() == before


def test_of_several_ranks_at_one_step_the_lowest_counts(make):
    run = make()
    journals = []
    for rank in (1, 0):
        run.process(f"r{rank}-aaaaaa", 1, rank=rank)
        journals.append(run.journal(f"r{rank}-aaaaaa"))
        for step in range(3 + rank):
            observe(journals[-1], step, [float(rank), float(rank)], width=1)
    for reader in (run.read(), sealed(run, journals[0])):
        table = reader.chosen()
        assert table["step"].to_pylist() == [0, 1, 2, 3] * 2
        assert table["loss"].to_pylist() == [0.0, 0.0, 0.0, 1.0] * 2
        assert reader.chosen(superseded=True).num_rows == 2 * (3 + 4)


def test_rows_of_unequal_length_are_lists(make):
    run = make()
    journal = run.journal()
    columns = [
        {"name": "boxes", "dtype": "<f4", "shape": [3, 2], "rows": 2},
        {"name": "loss", "dtype": "<f4", "shape": [2]},
    ]
    header = {"table": "chosen", "set": "chosen", "columns": columns, "precision": "bf16"}
    values = array("f", range(6)).tobytes(), array("f", [7, 8]).tobytes()
    journal.array(header, [array("I", [1, 2]).tobytes(), *values], 4)
    types = []
    for reader in (run.read(), sealed(run, journal)):
        table = reader.chosen()
        types.append(table.schema.types)
        assert table["boxes"].to_pylist() == [[0.0, 1.0], [2.0, 3.0, 4.0, 5.0]]
        assert table["loss"].to_pylist() == [7.0, 8.0]
        about = json.loads(table.schema.metadata[b"labbook"])
        assert about == {"precision": "bf16", "shapes": {"boxes": [None, 2], "loss": []}}
    assert list(map(str, types[0])) == list(map(str, types[1])), "sealed or not, one type"


def test_an_observation_may_come_in_parts(make):
    run = make()
    journal = run.journal()
    for first, losses in ((2, [30.0]), (0, [10.0, 20.0])):
        column = {"name": "loss", "dtype": "<f4", "shape": [len(losses)]}
        header = {"table": "chosen", "set": "chosen", "first": first, "columns": [column]}
        journal.array(header, [array("f", losses).tobytes()], 4)
    for reader in (run.read(), sealed(run, journal)):
        table = reader.chosen()
        assert table["example"].to_pylist() == [0, 1, 2]
        assert table["loss"].to_pylist() == [10.0, 20.0, 30.0]


def test_texts_and_bytes_of_the_examples_are_columns(make):
    run = make()
    journal = run.journal()
    header = {
        "table": "examples",
        "set": "chosen",
        "columns": [{"name": "input", "dtype": "bytes", "shape": [3], "rows": 2}],
        "texts": ["a", "b"],
        "target_texts": ["A", None],
        "digest": "sha256:abc",
    }
    journal.array(header, [array("I", [1, 2]).tobytes(), b"xyz"], None)
    for reader in (run.read(), sealed(run, journal)):
        assert reader.examples().to_pylist() == [
            {"example": 0, "input": b"x", "text": "a", "target": "A"},
            {"example": 1, "input": b"yz", "text": "b", "target": None},
        ]
        about = json.loads(reader.examples().schema.metadata[b"labbook"])
        assert about["digest"] == "sha256:abc"


@pytest.mark.parametrize(
    "header",
    [
        {"columns": 3},
        {"columns": [{"name": "x", "dtype": "<f4", "shape": [1], "rows": 1 << 40}]},
        {"columns": [{"name": "x", "dtype": "<f4", "shape": [1], "rows": -1}]},
        {"columns": [{"name": "x", "dtype": "<f4", "shape": [1], "rows": 1}]},
        {"columns": [{"name": "x", "dtype": "bytes", "shape": [1]}]},
        {"columns": [{"name": "x", "dtype": "<f4", "shape": [1]}], "first": -1},
        {"columns": [{"name": "x", "dtype": "<f4", "shape": [1]}], "first": "a"},
        {"columns": [{"name": "x", "dtype": "|O8", "shape": [1]}]},
        {"columns": [{"name": "x", "dtype": "<f4", "shape": [1 << 40]}]},
        {"columns": [{"name": "x", "dtype": "<f4", "shape": [-1]}]},
        {"columns": [{"name": "x", "dtype": "nonsense", "shape": [1]}]},
        {"columns": [{"name": "x", "dtype": "<f4", "shape": [1]}], "examples": [1, 2]},
    ],
)
def test_an_observation_that_lies_about_itself_is_named_and_kept(make, header):
    run = make()
    journal = run.journal()
    observe(journal, 0, [1.0])
    journal.array({"table": "chosen", "set": "chosen", **header}, [b"\0" * 8], 1)
    reader = run.read()
    assert reader.chosen().num_rows == 1
    assert f"{WRITER}-1.lbj: record 2 is no observation" in reader.damage[0]
    assert sealed(run, journal).chosen().num_rows == 1
    assert run.paths.segment(WRITER, 1).exists(), "bytes nobody could read are not thrown away"


def test_events_and_gauges(make):
    run = make()
    journal = run.journal()
    journal.event("alert", "loss is NaN", 7, level="high", n=3)
    journal.row("gauges", ("cpu", "gpu.0"), (0.5, None), None)
    for reader in (run.read(), sealed(run, journal)):
        event = reader.events().to_pylist()[0]
        assert (event["step"], event["kind"], event["text"]) == (7, "alert", "loss is NaN")
        assert json.loads(event["fields"]) == {"level": "high", "n": 3}
        gauges = reader.gauges()
        assert gauges.column_names == ["time", "step", "name", "value"]
        assert gauges["name"].to_pylist() == ["cpu", "gpu.0"]
        assert gauges["value"].to_pylist() == [0.5, None]


LIVE = """
    import sys
    from pathlib import Path
    from labbook.book.seal import seal_span
    from labbook.journal.writer import JournalWriter
    from labbook.paths import RunPaths

    paths = RunPaths(Path(sys.argv[1]))
    journal = JournalWriter(paths, "r0-abcdef", segment_bytes=20_000)
    for step in range(30_000):
        journal.row("series", ("loss", "lr"), (step / 4, None), step)
        if step % 3_000 == 2_999:
            journal.roll()
            seal_span(paths, "r0-abcdef", 1, journal.number - 1)
    journal.close()
    seal_span(paths, "r0-abcdef", 1, journal.number, finish=True)
"""


def test_a_reader_beside_writing_and_sealing_never_sees_a_row_twice_or_a_gap(make):
    run = make()
    command = [sys.executable, "-c", textwrap.dedent(LIVE), str(run.paths.root)]
    child = subprocess.Popen(command)
    reader = run.read()
    seen = 0
    n_reads = 0
    while child.poll() is None:
        reader.refresh()
        table = reader.series("loss")
        steps = table["step"].to_pylist()
        assert steps == list(range(len(steps)))
        assert table["value"].to_pylist() == [step / 4 for step in steps]
        assert len(steps) >= seen
        seen = len(steps)
        n_reads += 1
    assert child.wait() == 0
    assert n_reads > 1
    reader.refresh()
    assert reader.series("loss")["step"].to_pylist() == list(range(30_000))
    assert run.read().stats() == reader.stats()
    assert run.read().series("lr")["value"].null_count == 30_000


def test_runs_are_found_by_id_prefix_and_name(make, book):
    one = make("20260101-000000-aaaaaa", name="first")
    make("20260102-000000-bbbbbb", name="twin")
    make("20260102-000001-cccccc", name="twin")
    assert book.ids()[0] == "20260102-000001-cccccc"
    assert book.run("20260101").id == one.paths.id
    assert book.run("first").id == one.paths.id
    assert book.run("20260102-000000").name == "twin"
    with pytest.raises(AmbiguousRun, match="20260102-000001-cccccc, 20260102-000000-bbbbbb"):
        book.run("20260102")
    with pytest.raises(AmbiguousRun, match="2 runs"):
        book.run("twin")
    with pytest.raises(RunNotFound, match=r"Close: 20260101-000000-aaaaaa \(first\)"):
        book.run("frist")
    with pytest.raises(RunNotFound):
        book.run("../../etc")
    with pytest.raises(RunNotFound):
        book.run("")


def test_an_empty_book_says_so(book, tmp_path, monkeypatch):
    assert book.summaries() == []
    assert book.runs().num_rows == 0
    with pytest.raises(RunNotFound, match="it has no runs"):
        book.run("x")
    monkeypatch.chdir(tmp_path)
    assert labbook.open().root == book.root
    assert open_book(tmp_path).root == book.root
    with pytest.raises(BookNotFound, match="LABBOOK_DIR"):
        open_book(tmp_path / "nowhere")


def test_facts_known_later_win(make):
    run = make(name="old", tags=["a"])
    run.process()
    reader = run.read()
    assert (reader.name, reader.tags) == ("old", ["a"])
    run.fact("tags", tags=["b", "c"])
    run.fact("name", name="new")
    assert reader.refresh()
    assert (reader.name, reader.tags) == ("new", ["b", "c"])
    assert not reader.refresh()


def test_a_book_opens_unchanged_after_it_was_moved(make, book, tmp_path):
    run = make()
    journal = run.journal()
    observe(journal, 0, [1.0])
    journal.row("series", ("loss",), (1.0,), 0)
    before = everything(sealed(run, journal))
    shutil.move(book.root, tmp_path / "elsewhere")
    reader = open_book(tmp_path / "elsewhere").run(run.paths.id)
    assert everything(reader) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id": "\\ud800"', b"\xff\xfe", b"nul"])
def test_a_broken_run_json_is_named_and_hides_no_other_run(make, book, content):
    good, bad = make(), make()
    bad.paths.run_json.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"run\.json"):
        book.run(bad.paths.id)
    states = {summary.id: summary for summary in book.summaries()}
    assert len(states) == 2
    assert states[bad.paths.id].state == "unknown"
    assert good.paths.id in states


def test_files_of_a_run_that_are_links_or_pipes_are_not_followed(make, book, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text('{"fact": "name", "name": "secret", "time_ns": 1}')
    run = make()
    (run.paths.meta / "name-x.json").symlink_to(secret)
    os.mkfifo(run.paths.meta / "pipe.json")
    reader = run.read()
    assert reader.name == "small"
    assert len(reader.damage) == 2
    shutil.rmtree(run.paths.meta)
    run.paths.meta.symlink_to(tmp_path)
    assert run.read().name == "small"
    (book.paths.runs / "20260101-000000-zzzzzz").symlink_to(run.paths.root)
    assert book.ids() == [run.paths.id]


def test_a_hostile_part_is_named(make):
    run = make()
    journal = run.journal()
    journal.row("series", ("loss",), (1.0,), 0)
    sealed(run, journal)
    part = next((run.paths.root / "series").glob("*.parquet"))
    whole = part.read_bytes()
    flipped = bytearray(whole)
    flipped[20] ^= 0xFF
    for content in (b"", b"PAR1", whole[:-20], whole[: len(whole) // 2], bytes(flipped)):
        part.write_bytes(content)
        with pytest.raises(DamagedFile, match=part.name):
            run.read().series("loss")
    part.unlink()
    with pytest.raises(DamagedFile, match=part.name):
        run.read().series("loss")
    (run.paths.root / "elsewhere.parquet").write_bytes(whole)
    part.symlink_to(run.paths.root / "elsewhere.parquet")
    with pytest.raises(DamagedFile, match="is a link"):
        run.read().series("loss")


def test_a_segment_somebody_removed_is_named_and_what_was_read_stays(make):
    run = make()
    journal = run.journal()
    journal.row("series", ("loss",), (1.0,), 0)
    reader = run.read()
    run.paths.segment(WRITER, 1).unlink()
    journal.check()  # the writer notices, and goes on in a new segment
    journal.row("series", ("loss",), (2.0,), 1)
    reader.refresh()
    assert values(reader.series("loss")) == [(0, 1.0), (1, 2.0)]
    assert f"{WRITER}-1.lbj was removed before it was sealed" in reader.damage[0]
