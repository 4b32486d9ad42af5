"""Write → read, and what a reader makes of torn, damaged and hostile bytes."""

import json
import math
import os
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labbook.journal import format as f
from labbook.journal.reader import Array, Event, Late, Row, SegmentReader
from labbook.journal.writer import JournalWriter, RowSchema
from labbook.paths import RunPaths

QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


def new_run(folder):
    paths = RunPaths(folder)
    paths.journal.mkdir(parents=True)
    return paths


def read_all(paths):
    records = []
    for _, _, path in sorted(paths.segments(), key=lambda found: found[:2]):
        records += SegmentReader(path).records()
    return sorted(records, key=lambda record: record.seq)


def same(a, b):
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a + b))


NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12)
CALLS = st.lists(
    st.tuples(
        st.dictionaries(NAMES, st.none() | st.floats(allow_nan=True), min_size=1, max_size=5),
        st.none() | st.integers(-(2**62), 2**62),
    ),
    max_size=30,
)


@QUICK
@given(calls=CALLS, limit=st.sampled_from([200, 1000, 1 << 20]))
def test_what_is_written_reads_back_whatever_the_segment_size(tmp_path_factory, calls, limit):
    paths = new_run(tmp_path_factory.mktemp("run"))
    writer = JournalWriter(paths, "r0-abc", segment_bytes=limit)
    for values, step in calls:
        writer.row("series", tuple(values), values.values(), step)
    writer.close()
    rows = read_all(paths)
    assert [(row.names, row.step) for row in rows] == [(tuple(v), s) for v, s in calls]
    for row, (values, _) in zip(rows, calls, strict=True):
        assert all(same(a, b) for a, b in zip(row.values, values.values(), strict=True))
    assert not writer.faults


def test_every_kind_of_record_reads_back_in_the_order_of_the_calls(tmp_path):
    paths = new_run(tmp_path / "run")
    writer = JournalWriter(paths, "r0-abc")
    schema = RowSchema("series", ("loss", "späß/☃"))
    with writer.lock:
        seq = writer.append(schema, 7, (0.5, f.PENDING))
    writer.event("alert", "loss is nan", step=7, level="bad")
    writer.array({"table": "chosen", "columns": []}, [b"ab", memoryview(b"cd")], 8)
    writer.late(seq, [(1, 2.5)])
    row, late, event, array = read_all(paths)
    assert isinstance(row, Row)
    assert isinstance(event, Event)
    assert isinstance(array, Array)
    assert row.names == ("loss", "späß/☃")
    assert row.values == (0.5, None)
    assert row.pending == (1,)
    assert late == Late(seq, 1, 2.5)
    assert event.fields == {"kind": "alert", "text": "loss is nan", "level": "bad"}
    assert (event.step, array.step, bytes(array.payload)) == (7, 8, b"abcd")
    assert array.header == {"table": "chosen", "columns": []}


def test_null_nan_and_infinities_are_four_different_things(tmp_path):
    paths = new_run(tmp_path / "run")
    JournalWriter(paths, "r0-abc").row(
        "series", ("a", "b", "c", "d"), (None, math.nan, math.inf, -math.inf), 0
    )
    (row,) = read_all(paths)
    assert row.values[0] is None
    assert math.isnan(row.values[1])
    assert row.values[2:] == (math.inf, -math.inf)


def test_a_segment_is_readable_alone(tmp_path):
    paths = new_run(tmp_path / "run")
    writer = JournalWriter(paths, "r0-abc", segment_bytes=300)
    for step in range(50):
        writer.row("series", ("loss",), (float(step),), step)
    segments = sorted(paths.segments(), key=lambda found: found[1])
    assert len(segments) > 3
    alone = list(SegmentReader(segments[2][2]).records())
    assert alone
    assert all(row.names == ("loss",) and row.values == (float(row.step),) for row in alone)


def test_tailing_returns_each_record_once_and_a_torn_tail_when_it_is_whole(tmp_path):
    paths = new_run(tmp_path / "run")
    writer = JournalWriter(paths, "r0-abc")
    writer.row("series", ("loss",), (1.0,), 1)
    whole = paths.segment("r0-abc", 1).read_bytes()
    torn = tmp_path / "torn.lbj"
    reader = SegmentReader(torn)
    seen = []
    with open(torn, "ab", buffering=0) as file:
        for byte in whole:
            file.write(bytes([byte]))
            seen += reader.records()
            assert reader.damage is None
    assert [row.values for row in seen] == [(1.0,)]
    assert reader.torn_bytes == 0


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """A segment with every kind of record, its bytes and its records."""
    paths = new_run(tmp_path_factory.mktemp("whole") / "run")
    writer = JournalWriter(paths, "r0-abc")
    for step in range(20):
        writer.row("series", ("loss", "lr"), (step / 3, None), step)
        writer.event("note", f"at {step}")
        writer.array({"table": "chosen", "columns": []}, [bytes(range(step))], step)
    path = paths.segment("r0-abc", 1)
    return path.read_bytes(), list(SegmentReader(path).records())


def plain(records):
    return [(*r[:-1], bytes(r[-1])) if isinstance(r, Array) else tuple(r) for r in records]


@QUICK
@given(data=st.data())
def test_a_truncated_segment_gives_the_records_before_the_cut(journal, tmp_path_factory, data):
    whole, records = journal
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path_factory.mktemp("cut") / "a-1.lbj"
    path.write_bytes(whole[:cut])
    reader = SegmentReader(path)
    found = plain(reader.records())
    assert found == plain(records)[: len(found)]
    assert reader.offset + reader.torn_bytes == cut
    if cut == len(whole):
        assert len(found) == len(records)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=400)
@given(data=st.data())
def test_damaged_bytes_never_raise_and_never_invent(journal, tmp_path_factory, data):
    whole, records = journal
    damaged = bytearray(whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=40))
    damaged[at : at + len(noise)] = noise
    path = tmp_path_factory.mktemp("damaged") / "a-1.lbj"
    path.write_bytes(damaged)
    found = plain(SegmentReader(path).records())
    assert found == plain(records)[: len(found)]
    before = sum(1 for end in ends_of(whole) if end <= at)
    assert len(found) >= before


def ends_of(data):
    """Where each record but the schemas ends."""
    at = f.HEADER_SIZE
    while at < len(data):
        length, kind = struct.unpack_from("<IB", data, at)
        at += length
        if kind != f.SCHEMA:
            yield at


@QUICK
@given(noise=st.binary(max_size=400))
def test_any_bytes_at_all_never_raise(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "a-1.lbj"
    path.write_bytes(noise)
    assert list(SegmentReader(path).records()) == []
    path.write_bytes(f.segment_header(1) + noise)
    list(SegmentReader(path).records())


BODIES = [
    (f.SCHEMA, b'{"table": "series", "names": "loss"}'),
    (f.SCHEMA, b'{"table": "../x", "names": ["loss"]}'),
    (f.SCHEMA, b'{"names": [1]}'),
    (f.SCHEMA, b"[" * 100_000),
    (f.ROW, b"12345678"),
    (f.EVENT, b"[]"),
    (f.EVENT, b"\xff\xff"),
    (f.ARRAY, b"\xff\xff\xff\xff{}"),
    (f.ARRAY, b""),
    (f.LATE, b"123"),
]


@pytest.mark.parametrize(("kind", "body"), BODIES)
def test_a_record_with_a_right_checksum_and_wrong_content_is_damage(tmp_path, kind, body):
    head = f.HEAD.pack(f.MIN_RECORD + len(body), kind, 0, 5, 1, 0, 0)
    path = tmp_path / "a-1.lbj"
    path.write_bytes(f.segment_header(1) + f.closed(head + body))
    reader = SegmentReader(path)
    assert list(reader.records()) == []
    assert "unreadable record at byte 16" in reader.damage


def test_a_newer_version_is_named_not_misread(tmp_path):
    head = f.MAGIC + bytes([9]) + struct.pack("<I", 1)
    path = tmp_path / "a-1.lbj"
    path.write_bytes(head + struct.pack("<I", zlib.crc32(head)))
    reader = SegmentReader(path)
    assert list(reader.records()) == []
    assert reader.damage == "journal version 9; this labbook reads up to 1"


def test_an_unknown_kind_is_passed_over(tmp_path):
    head = f.HEAD.pack(f.MIN_RECORD, 77, 0, 0, 1, 0, 0)
    body = json.dumps({"kind": "note", "text": "x"}).encode()
    event = f.HEAD.pack(f.MIN_RECORD + len(body), f.EVENT, 0, 0, 2, 0, 0) + body
    path = tmp_path / "a-1.lbj"
    path.write_bytes(f.segment_header(1) + f.closed(head) + f.closed(event))
    assert [record.seq for record in SegmentReader(path).records()] == [2]


def test_half_a_surrogate_pair_is_made_text(tmp_path):
    body = b'{"kind": "note", "text": "a\\ud800b"}'
    head = f.HEAD.pack(f.MIN_RECORD + len(body), f.EVENT, 0, 0, 2, 0, 0)
    path = tmp_path / "a-1.lbj"
    path.write_bytes(f.segment_header(1) + f.closed(head + body))
    (event,) = SegmentReader(path).records()
    assert event.fields["text"] == "a?b"


def test_a_segment_that_shrinks_under_the_reader_is_damage(tmp_path):
    paths = new_run(tmp_path / "run")
    JournalWriter(paths, "r0-abc").row("series", ("loss",), (1.0,), 1)
    path = paths.segment("r0-abc", 1)
    reader = SegmentReader(path)
    reader.poll()
    os.truncate(path, 20)
    assert not reader.poll()
    assert reader.damage.startswith("shrank from")
