"""Tables without nested columns, for the formats that have none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from labbook.export.strict import strict

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["flat"]


def flat(table: pa.Table) -> pa.Table:
    """Return `table` with lists of a fixed size D as columns `name.0` to `name.D-1`.

    What else is nested, or is binary, becomes JSON text; dictionaries become their values.
    """
    import pyarrow as pa

    columns: dict[str, pa.ChunkedArray] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        for name, plain in _plain(field.name, column):
            columns[name] = plain
    return pa.table(columns)


def _plain(name: str, column: pa.ChunkedArray) -> list[tuple[str, pa.ChunkedArray]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        return [(name, column.cast(kind.value_type))]
    if pa.types.is_fixed_size_list(kind):
        parts = [(f"{name}.{i}", pc.list_element(column, i)) for i in range(kind.list_size)]
        return [plain for part in parts for plain in _plain(*part)]
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = [None if v is None else json.dumps(strict(v)) for v in column.to_pylist()]
        return [(name, pa.chunked_array([pa.array(texts, pa.string())]))]
    return [(name, column)]
