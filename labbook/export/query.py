"""SQL over a book with DuckDB: views `runs`, `series`, `gauges`, `chosen` and `results`.

Invariant: read-only. The database is in memory and reads nothing but the book's own Parquet; runs
that are sealed and have one attempt are read by DuckDB from their parts, the others (live, killed,
resumed) are decoded first, so that no row is seen twice and no superseded row at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from labbook.book.reading import Book
from labbook.book.runreader import RunReader
from labbook.book.seals import Seals
from labbook.errors import DamagedFile, MisuseError
from labbook.paths import RunPaths

if TYPE_CHECKING:
    import duckdb

__all__ = ["VIEWS", "query"]

_POINT_COLUMNS: Final = ("step", "time", "name", "value")


def query(book: Book, sql: str) -> pa.Table:
    """Run one SQL statement over the views and return its rows.

    Raises `MisuseError` when DuckDB is missing or refuses the statement.
    """
    try:
        import duckdb
    except ImportError:
        raise MisuseError("labbook sql needs DuckDB: pip install 'labbook[sql]'") from None
    with duckdb.connect(":memory:") as database:
        for view, build in VIEWS.items():
            if re.search(rf"\b{view}\b", sql, re.IGNORECASE):
                build(database, book)
        folder = str(book.paths.runs).replace("'", "''")
        database.execute(f"SET allowed_directories = ['{folder}']")
        database.execute("SET enable_external_access = false")
        database.execute("SET lock_configuration = true")
        try:
            return database.sql(sql).to_arrow_table()
        except AttributeError:
            raise MisuseError("the statement returns no rows: write a SELECT") from None
        except duckdb.Error as error:
            raise MisuseError(f"DuckDB: {error}") from error


def _runs(database: duckdb.DuckDBPyConnection, book: Book) -> None:
    database.register("runs", book.runs())


def _points(table: str) -> Callable[[duckdb.DuckDBPyConnection, Book], None]:
    def build(database: duckdb.DuckDBPyConnection, book: Book) -> None:
        parts: dict[str, list[str]] = {"filename": [], "run": []}
        decoded = [_EMPTY_POINTS]
        for paths in map(book.paths.run, book.ids()):
            sealed = _sealed_parts(paths, table)
            if sealed is None:
                decoded.append(_decoded_points(RunReader(paths), table))
            else:
                parts["filename"] += sealed
                parts["run"] += [paths.id] * len(sealed)
        database.register(f"{table}_decoded", pa.concat_tables(decoded))
        database.register(f"{table}_parts", pa.table(parts, schema=_PARTS))
        database.execute(f"CREATE VIEW {table} AS {_union(table, parts['filename'])}")

    return build


def _chosen(database: duckdb.DuckDBPyConnection, book: Book) -> None:
    database.register("chosen", _all(book, _chosen_of))


def _results(database: duckdb.DuckDBPyConnection, book: Book) -> None:
    database.register("results", _all(book, _results_of))


VIEWS: Final = {
    "runs": _runs,
    "series": _points("series"),
    "gauges": _points("gauges"),
    "chosen": _chosen,
    "results": _results,
}
"""View → what builds it. Only those a statement names are built."""

_PARTS: Final = pa.schema({"filename": pa.string(), "run": pa.string()})
_EMPTY_POINTS: Final = pa.schema(
    {
        "run": pa.string(),
        "step": pa.int64(),
        "time": pa.timestamp("ms", "UTC"),
        "name": pa.string(),
        "value": pa.float64(),
    }
).empty_table()


def _union(table: str, filenames: list[str]) -> str:
    columns = ", ".join(_POINT_COLUMNS)
    decoded = f"SELECT run, {columns} FROM {table}_decoded"
    if not filenames:
        return decoded
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in filenames)
    return (
        f"SELECT run, {columns} FROM read_parquet([{listed}], filename = true) "
        f"JOIN {table}_parts USING (filename) UNION ALL {decoded}"
    )


def _sealed_parts(paths: RunPaths, table: str) -> list[str] | None:
    """Parts of a run whose every row is in them; None when it has to be decoded."""
    segments = list(paths.segments())  # before the seals: a segment may be sealed in between
    seals = Seals(paths)
    try:
        seals.refresh()
    except DamagedFile:
        return None
    if any(not seals.covers(writer, number) for writer, number, _ in segments):
        return None
    if len([name for name in _names(paths.attempts) if name.isdigit()]) != 1:
        return None
    manifests = seals.in_force()
    return [str(p.path) for manifest in manifests for p in manifest.parts if p.table == table]


def _names(folder: Any) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _decoded_points(run: RunReader, table: str) -> pa.Table:
    if table == "gauges":
        return _with_run(run.id, run.gauges()).select(_EMPTY_POINTS.column_names)
    tables = [_EMPTY_POINTS]
    for name in run.names():
        points = run.series(name)
        named = points.append_column("name", pa.array([name] * len(points), pa.string()))
        tables.append(_with_run(run.id, named).select(_EMPTY_POINTS.column_names))
    return pa.concat_tables([table.cast(_EMPTY_POINTS.schema) for table in tables])


def _all(book: Book, rows: Callable[[RunReader], Iterator[pa.Table]]) -> pa.Table:
    found: list[pa.Table] = []
    for run_id in book.ids():
        found += rows(RunReader(book.paths.run(run_id)))
    if not found:
        return pa.table({"run": pa.array([], pa.string())})
    return pa.concat_tables(found, promote_options="permissive")


def _chosen_of(run: RunReader) -> Iterator[pa.Table]:
    for name in run.chosen_sets():
        table = run.chosen(name)
        named = table.append_column("set", pa.array([name] * len(table), pa.string()))
        yield _with_run(run.id, _lists(named))


def _results_of(run: RunReader) -> Iterator[pa.Table]:
    for result in run.results(strict=False):
        rows = result.rows()
        about = {"evaluation": result.evaluation, "subset": result.subset, "key": result.key}
        for name, text in about.items():
            rows = rows.append_column(name, pa.array([text] * len(rows), pa.string()))
        steps = pa.array([result.step] * len(rows), pa.int64())
        yield _with_run(run.id, _lists(rows.append_column("step", steps)))


def _lists(table: pa.Table) -> pa.Table:
    """Fixed-size lists as plain lists: two runs may have outputs of different widths."""
    for index, field in enumerate(table.schema):
        if pa.types.is_fixed_size_list(field.type):
            plain = table.column(index).cast(pa.list_(field.type.value_type))
            table = table.set_column(index, field.name, plain)
    return table


def _with_run(run_id: str, table: pa.Table) -> pa.Table:
    return table.append_column("run", pa.array([run_id] * len(table), pa.string()))
