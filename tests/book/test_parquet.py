from __future__ import annotations

import math
import re
import struct
import subprocess
import sys
import tempfile
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labbook.book import layout
from labbook.book.layout import group_slices
from labbook.book.runreader import RunReader
from labbook.book.seal import seal_span
from labbook.journal.format import NULL_BITS, PENDING_BITS, bits_of
from labbook.journal.writer import JournalWriter
from labbook.paths import BookPaths, RunPaths, Span
from tests.book.making import WRITER, Run, choose, everything, observe


@pytest.fixture
def sealed(make) -> RunPaths:
    """A run with every table, sealed in two spans; the first is also in a replaced seal."""
    run = make()
    run.process()
    journal = run.journal()
    choose(journal)
    for step in range(50):
        journal.row("series", ("loss", "lr"), (1 / (step + 1), None), step)
        journal.row("gauges", ("cpu",), (step,), None)
        observe(journal, step, [1.0, 2.0])
        journal.event("note", f"at {step}", step, n=step)
        if step == 24:
            journal.roll()
            seal_span(run.paths, WRITER, 1, 1)
    journal.close()
    seal_span(run.paths, WRITER, 2, 2)
    return run.paths


WITHOUT_LABBOOK = """
    import sys

    class Refuse:
        def find_spec(self, name, *_):
            if name.split(".")[0] == "labbook":
                raise ImportError(name)

    sys.meta_path.insert(0, Refuse())
    run = sys.argv[1]
    {code}
    assert "labbook" not in sys.modules
"""

DUCKDB = """
    import duckdb
    print(duckdb.sql(f"select count(*), count(value), sum(step), min(writer), "
                     f"count(distinct name) from '{run}/series/*.parquet'").fetchall()[0])
    print(duckdb.sql(f"select example, step, output[1] from '{run}/chosen/chosen/r*.parquet' "
                     "where step = 49 order by example").fetchall())
    print(duckdb.sql(f"select count(*), json_extract(min(fields), '$.n') "
                     f"from '{run}/events/*.parquet' where step = 3").fetchall()[0])
"""
POLARS = """
    import polars as pl
    t = pl.read_parquet(f"{run}/series/*.parquet")
    print((t.height, t["value"].count(), t["step"].sum(), t["writer"].min(), t["name"].n_unique()))
    t = pl.read_parquet(f"{run}/chosen/chosen/r*.parquet").filter(pl.col("step") == 49)
    print([(e, s, o[0]) for e, s, o in t.select("example", "step", "output").rows()])
    t = pl.read_parquet(f"{run}/events/*.parquet").filter(pl.col("step") == 3)
    print((t.height, t["fields"].str.json_path_match("$.n")[0]))
"""
PANDAS = """
    import glob, json
    import pandas as pd
    def read(pattern):
        return pd.concat([pd.read_parquet(p) for p in sorted(glob.glob(f"{run}/{pattern}"))])
    t = read("series/*.parquet")
    print((len(t), int(t["value"].count()), int(t["step"].sum()), t["writer"].min(),
           t["name"].nunique()))
    t = read("chosen/chosen/r*.parquet").query("step == 49")
    print([(e, s, float(o[0])) for e, s, o in zip(t["example"], t["step"], t["output"])])
    t = read("events/*.parquet").query("step == 3")
    print((len(t), str(json.loads(t["fields"].iloc[0])["n"])))
"""


@pytest.mark.parametrize("code", [DUCKDB, POLARS, PANDAS], ids=["duckdb", "polars", "pandas"])
def test_other_programs_read_the_parts_without_labbook(sealed, code):
    script = textwrap.dedent(WITHOUT_LABBOOK).format(code=textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, "-c", script, str(sealed.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    points, outputs, events = (eval(line) for line in done.stdout.splitlines())
    assert points == (100, 50, 2 * sum(range(50)), WRITER, 2)
    assert outputs == [(0, 49, 50.0), (1, 49, 51.0)]
    assert (events[0], str(events[1])) == (1, "3")


def test_the_documented_query_never_sees_a_row_twice(sealed, tmp_path):
    """As after a kill between a compaction's seal and its sweep: the replaced parts are there."""
    duckdb = pytest.importorskip("duckdb")
    kept = {
        path: path.read_bytes()
        for folder in (sealed.seals, sealed.root / "series")
        for path in folder.iterdir()
        if path.is_file()
    }
    seal_span(sealed, WRITER, 1, 2, finish=True)
    for path, content in kept.items():
        path.write_bytes(content)
    assert layout.__doc__ is not None
    query = re.search(r"    WITH seals.*?(?=\n\n|\n\Z)", layout.__doc__, re.DOTALL)
    assert query is not None
    text = query[0].replace("RUN", str(sealed.root))
    found = duckdb.sql(f"select name, step, value from ({text})").fetchall()
    assert len(found) == 100
    assert len({(name, step) for name, step, *_ in found}) == 100
    assert found[0][:2] == ("loss", 0)
    plain = f"select count(*) from '{sealed.root}/series/*.parquet'"
    assert duckdb.sql(plain).fetchall() == [(200,)]  # so it is the query that does it


def test_the_layout_is_as_documented(sealed):
    path = sealed.part("series", Span(WRITER, 1, 1))
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        columns = {
            file.metadata.row_group(0).column(i).path_in_schema: file.metadata.row_group(0).column(
                i
            )
            for i in range(5)
        }
    assert list(columns) == ["name", "step", "time", "value", "writer"]
    assert {c.compression for c in columns.values()} == {"ZSTD"}
    for name, encoding in {
        "name": "RLE_DICTIONARY",
        "writer": "RLE_DICTIONARY",
        "step": "DELTA_BINARY_PACKED",
        "time": "DELTA_BINARY_PACKED",
        "value": "BYTE_STREAM_SPLIT",
    }.items():
        assert encoding in columns[name].encodings, name
    chosen = pq.ParquetFile(sealed.chosen_part("chosen", Span(WRITER, 1, 1))).metadata
    output = {
        chosen.row_group(0).column(i).path_in_schema: chosen.row_group(0).column(i).encodings
        for i in range(chosen.num_columns)
    }
    assert "BYTE_STREAM_SPLIT" in output["output.list.element"]
    assert "BYTE_STREAM_SPLIT" in output["loss"]


@given(st.lists(st.integers(1, 300_000), max_size=60))
@settings(deadline=None)
def test_row_groups_end_at_names_or_at_the_limit(lengths):
    slices = list(group_slices(lengths))
    assert sum(n for _, n in slices) == sum(lengths)
    ends = {sum(lengths[:i]) for i in range(len(lengths) + 1)}
    at = 0
    for index, (start, n) in enumerate(slices):
        assert start == at
        at += n
        assert n <= layout.MAX_GROUP
        assert n == layout.MAX_GROUP or at in ends
        assert n >= layout.MIN_GROUP or index == len(slices) - 1


def test_one_series_of_many_is_read_out_of_few_row_groups(make):
    run = make()
    journal = run.journal()
    names = tuple(f"m{i:03d}" for i in range(100))
    for step in range(700):
        journal.row("series", names, range(100), step)
    journal.close()
    seal_span(run.paths, WRITER, 1, journal.number, finish=True)
    part = pq.ParquetFile(next((run.paths.root / "series").glob("*.parquet"))).metadata
    assert [part.row_group(i).num_rows for i in range(part.num_row_groups)] == [32900, 32900, 4200]
    reader = run.read()
    for name in ("m000", "m046", "m047", "m099"):
        assert reader.series(name)["value"].to_pylist() == [float(name[1:])] * 700
    assert reader.series("m0465").num_rows == 0


def test_a_long_series_is_cut_and_read_whole(make):
    run = make()
    journal = run.journal()
    from labbook.journal.writer import RowSchema

    schema = RowSchema("series", ("loss",))
    n = layout.MAX_GROUP + 1000
    for step in range(n):
        journal.append(schema, step, (step / 2,))
    journal.close()
    before = run.read().stats()
    seal_span(run.paths, WRITER, 1, journal.number, finish=True)
    reader = run.read()
    assert reader.series("loss")["value"].to_pylist() == [step / 2 for step in range(n)]
    assert reader.stats() == before


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
STEPS = st.none() | st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(0, 5)
VALUES = st.none() | st.floats(allow_nan=True) | st.sampled_from([0.0, -0.0, 1.5])
CALLS = st.lists(
    st.tuples(
        st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), STEPS, st.booleans(), st.booleans()
    ),
    max_size=30,
)


def is_reserved(value: float | None) -> bool:
    return value is not None and bits_of(value) in (NULL_BITS, PENDING_BITS)


@given(CALLS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_logged_is_what_is_read_however_it_is_sealed(calls):
    """Journal → Parquet → table: every bit of every value, in order, live, sealed, compacted."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(BookPaths(Path(folder)), "20260101-000000-aaaaaa")
        journal = run.journal()
        expected: dict[str, list[tuple[int | None, bytes | None]]] = {}
        live = run.read()
        for values, step, rolls, seals in calls:
            if any(map(is_reserved, values.values())):
                continue
            journal.row("series", tuple(values), values.values(), step)
            for name, value in values.items():
                bits = None if value is None else struct.pack("<d", value)
                expected.setdefault(name, []).append((step, bits))
            if rolls:
                journal.roll()
            if seals:
                seal_span(run.paths, WRITER, 1, journal.number - 1)
                live.refresh()
        for rows in expected.values():
            rows.sort(key=lambda row: (row[0] is None, row[0] or 0))
        assert rows_of(run.read()) == expected
        live.refresh()
        assert rows_of(live) == expected
        before = everything(live)
        journal.close()
        seal_span(run.paths, WRITER, 1, journal.number, finish=True)
        assert rows_of(run.read()) == expected
        assert everything(run.read()) == before
        live.refresh()
        assert everything(live) == before
        check_stats(run.read(), expected)


def rows_of(reader: RunReader) -> dict[str, list[tuple[int | None, bytes | None]]]:
    found = {}
    for name in reader.names():
        table = reader.series(name)
        values = table["value"].to_pylist()
        # to_pylist keeps the payload of a NaN, as the journal does
        bits = [None if value is None else struct.pack("<d", value) for value in values]
        found[name] = list(zip(table["step"].to_pylist(), bits, strict=True))
    return found


def check_stats(reader: RunReader, expected: dict[str, list[tuple[int | None, bytes | None]]]):
    for name, stat in reader.stats().items():
        rows = [(s, struct.unpack("<d", b)[0]) for s, b in expected[name] if b is not None]
        numbers = [value for _, value in rows if not math.isnan(value)]
        assert stat.count == len(rows)
        assert stat.min == min(numbers, default=None)
        assert stat.max == max(numbers, default=None)
        if rows:
            with_step = [row for row in rows if row[0] is not None] or rows
            step, last = with_step[-1]
            assert stat.step == step
            assert stat.last == last or math.isnan(last)


def test_times_are_kept_to_the_millisecond(make, monkeypatch):
    run = make()
    journal: JournalWriter = run.journal()
    journal.row("series", ("loss",), (1.0,), 0)
    stamp = datetime.now(UTC)
    journal.close()
    live = run.read().series("loss")["time"].to_pylist()
    seal_span(run.paths, WRITER, 1, 1)
    found = run.read().series("loss")["time"].to_pylist()
    assert found == live
    assert abs((stamp - found[0]).total_seconds()) < 60
    assert found[0].microsecond % 1000 == 0
