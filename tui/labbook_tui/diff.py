"""What changed on the screen, cell by cell: from the bytes Textual writes to those worth sending.

`CellDiff.feed` keeps a model of the terminal's cells and returns only what differs from it, with
relative moves and with the smallest change of style. Invariant (tests/tui/test_diff.py): a terminal
that is fed the result shows the same cells as one fed everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from rich.cells import get_character_cell_size

__all__ = ["CellDiff"]

_TOKEN = re.compile(
    r"\x1b\[(?P<numbers>[0-9;:]*)(?P<final>[A-Za-z])"
    r"|(?P<text>[^\x1b\r\n\x00-\x1f\x7f]+)"
    r"|(?P<newline>\r?\n)"
    r"|(?P<control>\x1b\[[<=>?!][0-9;]*\$?[A-Za-z]"
    r"|\x1b[P_^X\]].*?(?:\x1b\\|\x07)|\x1b[^\[P_^X\]]|.)",
    re.S,
)
_SYNC_BEGIN, _SYNC_END = "\x1b[?2026h", "\x1b[?2026l"
_UNKNOWN = ("", "?")

Cell = tuple[str, str]  # character ('' right of a wide one) and SGR parameters ('' is the default)


@lru_cache(maxsize=8192)
def _parts(sgr: str) -> tuple[frozenset[str], str, str]:
    """An SGR text as attributes, foreground and background."""
    attributes: set[str] = set()
    front = back = ""
    numbers = iter(sgr.split(";") if sgr else ())
    for number in numbers:
        if number in {"", "0"}:
            attributes, front, back = set(), "", ""
        elif number in {"38", "48"}:
            mode = next(numbers, "5")
            count = 3 if mode == "2" else 1
            colour = ";".join([number, mode, *(next(numbers, "0") for _ in range(count))])
            front, back = (colour, back) if number == "38" else (front, colour)
        elif number in {"39", "49"}:
            front, back = ("", back) if number == "39" else (front, "")
        elif 30 <= int(number) <= 37 or 90 <= int(number) <= 97:
            front = number
        elif 40 <= int(number) <= 47 or 100 <= int(number) <= 107:
            back = number
        else:
            attributes.add(number)
    return frozenset(attributes), front, back


@lru_cache(maxsize=8192)
def _change(before: str, after: str) -> str:
    """The shortest SGR that goes from one style to another."""
    new = _parts(after)
    full = ";".join(["0", *sorted(new[0]), *(c for c in new[1:] if c)])
    if before == "?":
        return f"\x1b[{full if full != '0' else ''}m"
    old = _parts(before)
    if old == new:
        return ""
    if old[0] - new[0]:
        return f"\x1b[{full if full != '0' else ''}m"
    step = sorted(new[0] - old[0])
    if old[1] != new[1]:
        step.append(new[1] or "39")
    if old[2] != new[2]:
        step.append(new[2] or "49")
    short = ";".join(step)
    return f"\x1b[{short if len(short) <= len(full) else full}m"


@lru_cache(maxsize=8192)
def _drawn(cell: Cell) -> Cell:
    """A cell as it looks: a space has no ink, so its foreground need not agree."""
    char, sgr = cell
    attributes, _, back = _parts(sgr)
    if char == " " and not attributes & {"4", "7", "9", "21"}:
        return " ", back
    return char, ";".join([*sorted(attributes), *(c for c in _parts(sgr)[1:] if c)])


class CellDiff:
    """A model of the terminal; `feed` takes what is to be shown and returns what to send."""

    def __init__(self, width: int, height: int) -> None:
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Forget everything: the terminal may have moved or cleared its cells."""
        self.width, self.height = max(1, width), max(1, height)
        self._row = self._column = 0  # the writer's cursor
        self._sgr = ""  # the writer's style
        self._opened = False  # a synchronised update begun by the writer, not yet sent
        self.invalidate()

    def invalidate(self) -> None:
        """Forget what the terminal shows; whatever is written next is sent in full."""
        self._cells: list[list[Cell]] = [[_UNKNOWN] * self.width for _ in range(self.height)]
        self._at: tuple[int, int] | None = None  # the terminal's cursor (row, column)
        self._sent = "?"  # the terminal's style

    def lose(self, rows: Iterable[int], column: int, count: int) -> None:
        """Forget what stands in `count` cells of these rows."""
        for row in rows:
            if row < self.height:
                known = self._cells[row]
                end = min(self.width, column + count)
                known[column:end] = [_UNKNOWN] * max(0, end - column)

    def feed(self, data: str) -> str:
        """What to send so that the terminal shows what `data` asks for."""
        out: list[str] = []
        touched: dict[int, dict[int, Cell]] = {}
        for token in _TOKEN.finditer(data):
            kind = token.lastgroup
            if kind == "text":
                self._write(token["text"], touched)
            elif kind == "newline":
                self._row, self._column = self._row + 1, 0
            elif kind == "final" and self._sequence(token["numbers"], token["final"]):
                pass
            else:
                self._flush(touched, out)
                self._control(token[0], out)
        self._flush(touched, out)
        return "".join(out)

    def _sequence(self, numbers: str, final: str) -> bool:
        """Apply a move or a style; False for a sequence that has to be sent as it is."""
        if final == "m":
            self._sgr = numbers if numbers != "0" else ""
        elif final in {"H", "f"}:
            row, _, column = numbers.partition(";")
            self._row, self._column = int(row or 1) - 1, int(column or 1) - 1
        else:
            return False
        return True

    def _control(self, sequence: str, out: list[str]) -> None:
        if sequence == _SYNC_BEGIN:
            self._opened = True
            return
        if sequence == _SYNC_END:
            if not self._opened:  # the begin was sent
                out.append(sequence)
            self._opened = False
            return
        self._open(out)
        out.append(sequence)
        if "1049" in sequence or sequence[-1] in "JKLMPSTX@c" or sequence[1:2] in {"P", "_"}:
            # the alternate screen, erasing, scrolling or an image: cells are no longer known
            self.invalidate()
        elif sequence[-1] in "ABCDEFGdsu\r\b\t" or sequence[1:2] in {"7", "8"}:
            self._at = None

    def _open(self, out: list[str]) -> None:
        if self._opened:
            out.append(_SYNC_BEGIN)
            self._opened = False

    def _write(self, text: str, touched: dict[int, dict[int, Cell]]) -> None:
        row = touched.setdefault(self._row, {})
        column, sgr = self._column, self._sgr
        if text.isascii():
            for char in text:
                row[column] = (char, sgr)
                column += 1
        else:
            for char in text:
                size = get_character_cell_size(char)
                if size == 0:
                    if column and (column - 1) in row:  # a combining mark joins what stands before
                        row[column - 1] = (row[column - 1][0] + char, row[column - 1][1])
                    continue
                row[column] = (char, sgr)
                if size == 2:
                    row[column + 1] = ("", sgr)
                column += size
        self._column = column

    def _flush(self, touched: dict[int, dict[int, Cell]], out: list[str]) -> None:
        for row in sorted(touched):
            if row < self.height:
                self._flush_row(row, touched[row], out)
        touched.clear()

    def _flush_row(self, row: int, cells: dict[int, Cell], out: list[str]) -> None:
        known = self._cells[row]
        for column in sorted(cells):
            if column >= self.width:
                break
            cell = _drawn(cells[column])
            if known[column] == cell and not self._covered(known, cells, column):
                continue
            known[column] = cell
            if not cell[0]:
                continue  # the right half of a wide character is drawn with its left half
            self._open(out)
            self._move(row, column, out)
            style = _change(self._sent, cell[1])
            if style:
                out.append(style)
            self._sent = cell[1]
            out.append(cell[0])
            width = 2 if column + 1 < self.width and cells.get(column + 1, " ")[0] == "" else 1
            after = column + width
            # at the right border terminals differ in where the cursor is: say it anew
            self._at = (row, after) if after < self.width and cell[0].isprintable() else None

    def _covered(self, known: list[Cell], cells: dict[int, Cell], column: int) -> bool:
        """Whether a wide character's halves disagree, so that this cell has to be drawn again."""
        right = cells.get(column + 1)
        return (
            right is not None
            and right[0] == ""
            and column + 1 < len(known)
            and (known[column + 1][0] != "")
        )

    def _move(self, row: int, column: int, out: list[str]) -> None:
        if self._at == (row, column):
            return
        if self._at is not None and self._at[0] == row and column > self._at[1]:
            gap = self._known_gap(row, self._at[1], column)
            if gap is not None:
                out.append(gap)
            else:
                step = column - self._at[1]
                out.append(f"\x1b[{step if step > 1 else ''}C")
        else:
            out.append(f"\x1b[{row + 1};{column + 1}H" if column else f"\x1b[{row + 1}H")
        self._at = (row, column)

    def _known_gap(self, row: int, start: int, end: int) -> str | None:
        """Up to three known cells in the present style: shorter to write again than to jump."""
        if end - start > 3:
            return None
        cells = self._cells[row][start:end]
        if all(cell[1] == self._sent and len(cell[0]) == 1 and cell[0].isascii() for cell in cells):
            return "".join(cell[0] for cell in cells)
        return None
