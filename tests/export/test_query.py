"""`labbook sql`: sealed, live and resumed runs alike, each row once, and nothing but the book."""

import sys
import textwrap

import pytest

import labbook
from labbook.errors import MisuseError
from labbook.export.query import query
from tests.client.conftest import Script

TRAIN = textwrap.dedent(
    """
    import os, sys, labbook
    run = labbook.start({"lr": float(sys.argv[1])}, gauges=False, output=False,
                        resume=os.environ.get("R"), resume_step=50 if "R" in os.environ else None)
    first = 50 if "R" in os.environ else 0
    for step in range(first, 100):
        run.log(loss=float(sys.argv[1]) * step, step=step)
    if "--kill" in sys.argv:
        os.kill(os.getpid(), 9)
    run.finish()
    run._sealer._wait(__import__("time").monotonic() + 30)
    print(run.id)
    """
)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A sealed run, a killed one, and one of two attempts."""
    script = Script(tmp_path_factory.mktemp("sql"))
    assert script.run(TRAIN, "1").returncode == 0
    assert script.run(TRAIN, "2", "--kill").returncode == -9
    first = script.run(TRAIN, "3").stdout.strip()
    resumed = script.run(TRAIN, "4", R=first)
    assert resumed.returncode == 0, resumed.stderr
    return labbook.open(script.book.root)


def test_every_row_is_seen_once_whatever_state_the_run_is_in(book):
    rows = query(
        book,
        """
        select "args.lr" as lr, count(*) as n, count(distinct step) as steps, max(value) as top
        from series join runs on runs.id = series.run
        where series.name = 'loss' group by 1 order by 1
        """,
    ).to_pylist()
    assert rows == [
        {"lr": 1.0, "n": 100, "steps": 100, "top": 99.0},
        {"lr": 2.0, "n": 100, "steps": 100, "top": 198.0},
        {"lr": 4.0, "n": 100, "steps": 100, "top": 396.0},
    ]


def test_views_without_rows_are_empty_not_missing(book):
    for view in ("gauges", "chosen", "results"):
        assert query(book, f"select count(*) as n from {view}").to_pylist() == [{"n": 0}]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("selec", "syntax error"),
        ("select * from read_text('/etc/hostname')", "Permission Error"),
        ("copy (select 1) to '/tmp/labbook-escape.csv'", "Permission Error"),
        ("attach '/tmp/labbook-escape.db' as x", "Permission Error"),
        ("set enable_external_access = true", "locked"),
        ("select nothing from series", "Binder Error"),
    ],
)
def test_what_duckdb_refuses_is_one_clear_error(book, statement, words):
    with pytest.raises(MisuseError, match=r"^DuckDB: ") as refused:
        query(book, statement)
    assert words in str(refused.value)


def test_a_missing_duckdb_is_named_with_its_cure(book, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MisuseError, match=r"pip install 'labbook\[sql\]'"):
        query(book, "select 1")
