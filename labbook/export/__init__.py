"""Tables out of the book, in the formats other tools read: `write(table, stream, format)`.

Invariant: Parquet, Arrow, CSV and JSON lines lose no value and no digit; Markdown and LaTeX are for
reading, and round to six significant digits. Nulls stay nulls (empty in text), and NaN stays NaN.
"""

from __future__ import annotations

from labbook.export.formats import BINARY, FORMATS, format_of, write
from labbook.export.strict import strict

__all__ = ["BINARY", "FORMATS", "format_of", "strict", "write"]
