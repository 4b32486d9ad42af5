"""Tables for reading: Markdown and LaTeX (booktabs). Numbers keep six significant digits."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from labbook.book.text import clean
from labbook.export.grouping import fold

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["folded_latex", "folded_markdown", "latex", "markdown"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def markdown(table: pa.Table) -> str:
    """Return a pipe table; numbers are right-aligned."""
    rule = ["---:" if is_number else "---" for is_number in _are_numbers(table)]
    rows = [[_in_markdown(cell) for cell in row] for row in _rows(table)]
    head = [_in_markdown(name) for name in table.column_names]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *rows))


def latex(table: pa.Table) -> str:
    r"""Return a `tabular` with booktabs rules; the document needs `\usepackage{booktabs}`."""
    columns = "".join("r" if is_number else "l" for is_number in _are_numbers(table))
    head, *rows = (
        " & ".join(map(_in_latex, cells)) + r" \\" for cells in (table.column_names, *_rows(table))
    )
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def folded_markdown(grouped: pa.Table) -> str:
    """Return a pipe table of folded runs, `mean ± std`, the best of a column bold."""
    titles, rows, best = fold(grouped)
    head = [_in_markdown(title) for title in titles]
    body = [[_in_markdown(cell) for cell in row] for row in rows]
    for column, row in enumerate(best):
        if row is not None:
            body[row][column] = f"**{body[row][column]}**"
    rule = ["---:"] * len(head)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *body))


def folded_latex(grouped: pa.Table) -> str:
    r"""Return folded runs as a booktabs `tabular`, `mean $\pm$ std`, the best of a column bold."""
    titles, rows, best = fold(grouped)
    body = [[_in_latex(cell).replace("±", r"$\pm$") for cell in row] for row in rows]
    for column, row in enumerate(best):
        if row is not None:
            body[row][column] = rf"\textbf{{{body[row][column]}}}"
    lines = [" & ".join(cells) + r" \\" for cells in ([_in_latex(t) for t in titles], *body)]
    top = [rf"\begin{{tabular}}{{{'r' * len(titles)}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*top, *lines[1:], r"\bottomrule", r"\end{tabular}"]) + "\n"


def _are_numbers(table: pa.Table) -> list[bool]:
    import pyarrow as pa

    return [pa.types.is_integer(f.type) or pa.types.is_floating(f.type) for f in table.schema]


def _rows(table: pa.Table) -> list[list[str]]:
    columns = [column.to_pylist() for column in table.columns]
    return [[_text(value) for value in row] for row in zip(*columns, strict=True)]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return clean(value)


def _in_markdown(text: str) -> str:
    return clean(text).replace("\\", "\\\\").replace("|", "\\|")


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in clean(text))
