from __future__ import annotations

import datetime
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labbook.errors import MisuseError
from labbook.export import BINARY, FORMATS, format_of, write

MOMENT = datetime.datetime(2026, 11, 23, 8, 10, 0, 123000, tzinfo=datetime.UTC)

TABLE = pa.table(
    {
        "step": pa.array([1, None], pa.int64()),
        "time": pa.array([MOMENT, MOMENT], pa.timestamp("ms", "UTC")),
        "name": ['say "a|b"', "100%_\x1b[31mred"],
        "value": [0.1 + 0.2, float("nan")],
        "output": pa.array([[1.5, 2.0], None], pa.list_(pa.float32(), 2)),
        "tags": [["x"], None],
        "kind": pa.array(["p", "q"]).dictionary_encode(),
    }
)


def written(form: str, table: pa.Table = TABLE) -> bytes:
    stream = io.BytesIO()
    write(table, stream, form)
    return stream.getvalue()


def test_parquet_and_arrow_give_back_the_same_table():
    plain = TABLE.drop_columns(["value"])  # NaN is not equal to itself
    assert pq.read_table(io.BytesIO(written("parquet", plain))).equals(plain)
    assert pa.ipc.open_file(written("arrow", plain)).read_all().equals(plain)


def test_csv_spreads_lists_and_tells_null_from_nan():
    assert written("csv").decode().splitlines() == [
        '"step","time","name","value","output.0","output.1","tags","kind"',
        '1,2026-11-23 08:10:00.123Z,"say ""a|b""",0.30000000000000004,1.5,2,"[""x""]","p"',
        ',2026-11-23 08:10:00.123Z,"100%_\x1b[31mred",nan,,,,"q"',
    ]


def test_json_lines_are_strict_json():
    lines = written("jsonl").splitlines()
    first, second = (json.loads(line, parse_constant=pytest.fail) for line in lines)
    assert first["time"] == "2026-11-23T08:10:00.123000+00:00"
    assert first["value"] == 0.1 + 0.2
    assert first["output"] == [1.5, 2.0]
    assert (second["value"], second["step"], second["tags"]) == ("NaN", None, None)


def test_markdown_is_escaped_aligned_and_clean():
    assert written("markdown", TABLE.select(["step", "name", "value"])).decode().splitlines() == [
        "| step | name | value |",
        "| ---: | --- | ---: |",
        '| 1 | say "a\\|b" | 0.3 |',
        "|  | 100%_red | nan |",
    ]


def test_latex_has_booktabs_rules_and_escapes():
    assert written("latex", TABLE.select(["name", "value"])).decode().splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"name & value \\",
        r"\midrule",
        r'say "a|b" & 0.3 \\',
        r"100\%\_red & nan \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_table_and_one_without_columns_can_be_written(form):
    written(form, TABLE.slice(0, 0))
    written(form, pa.table({}))


@pytest.mark.parametrize(
    ("path", "form"),
    [("a.csv", "csv"), ("b.PARQUET", "parquet"), ("c.feather", "arrow"), ("d.md", "markdown")],
)
def test_the_suffix_names_the_format(path, form):
    assert format_of(path) == form


def test_an_unknown_suffix_says_which_are_known():
    with pytest.raises(MisuseError, match=r"'out' names no format: use \.csv, \.parquet"):
        format_of("out")


def test_binary_formats_are_formats():
    assert set(FORMATS) >= BINARY
