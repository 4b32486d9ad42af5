"""Examples to look at: a picture with a caption beside it, or a line of text, or a small curve.

Invariant: every string of the run is clean before it is laid out, and no line is wider than asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from labbook.book.text import clean
from labbook.cli.pictures import colours, draw, sparkline
from labbook.cli.tables import cell_width, has_colour
from labbook.cli.wording import number_text

if TYPE_CHECKING:
    from labbook.dynamics import Inputs, Observed

__all__ = ["Gallery", "Row", "cut", "shown"]

_CARD = 26
"""Cells of one picture with its caption: three stand in a row of 80."""

_COLUMNS, _LINES = 16, 8

_FEW = 4
"""Numbers of an input that are shown as such."""
_GAP = "  "

Row = dict[str, Any]
Part = tuple[str, str]
"""Words, and how they are painted."""


class Gallery:
    """Lays out examples of one chosen set, as they were at one step."""

    def __init__(self, seen: Observed, step: int | None, width: int, about: dict[int, Any]) -> None:
        from labbook import dynamics

        self.width = width
        self.per_row = max(1, (width + len(_GAP)) // _CARD)
        self.about = about
        self._seen, self._step = seen, step
        self._inputs: Inputs = dynamics.inputs(seen)
        self._place = {int(example): row for row, example in enumerate(seen.example)}

    @property
    def is_pictures(self) -> bool:
        """Whether the examples are pictures, several in a row."""
        return self._inputs.kind in ("image", "audio")

    @property
    def reason(self) -> str | None:
        """Why there is nothing to see of the inputs; None when there is."""
        return self._inputs.reason if self._inputs.kind == "other" else None

    def lines(
        self, rows: Sequence[Row], caption: Callable[[Row], str], heads: Sequence[str] = ()
    ) -> list[str]:
        """Lay out the examples of these rows, in order.

        `caption` makes the last line from an example's row, which has the columns of `pairs` too;
        `heads` are words beside their numbers.
        """
        from labbook import dynamics

        ids = [row["example"] for row in rows]
        texts = []
        for at, pair in enumerate(dynamics.pairs(self._seen, ids, self._step).to_pylist()):
            head = f"#{pair['example']}" + (f" {heads[at]}" if heads else "")
            last = clean(caption({**rows[at], **pair}))
            texts.append((pair["example"], [(head, "bold"), *_facts(pair), (last, "")]))
        if self.is_pictures:
            return self._pictures(texts)
        return [line for example, parts in texts for line in self._plain(example, parts)]

    def picture(self, example: int, columns: int, lines: int) -> list[str]:
        """The picture of one example alone; no lines when it has none."""
        image = self._inputs.images[self._place[example]]
        return [] if image is None else draw(image, columns, lines, colours())

    def text(self, example: int) -> str | None:
        """The whole text of one example, or its numbers: a few as they are, more as a curve."""
        place = self._place[example]
        text, vector = self._inputs.texts[place], self._inputs.vectors[place]
        if text is not None:
            return clean(text)
        if vector is None:
            return None
        if len(vector) <= _FEW:
            return f"input {shown(vector.tolist())}"
        return sparkline(vector.tolist(), self.width - 2)

    def _pictures(self, texts: list[tuple[int, list[Part]]]) -> list[str]:
        cards = []
        for example, parts in texts:
            picture = self.picture(example, _COLUMNS, _LINES)
            wide = 0 if not picture else cell_width(click.unstyle(picture[0]))
            room = _CARD - len(_GAP) - wide - 1
            captions = [_painted(_padded(cut(text, room), room), how) for text, how in parts]
            height = max(len(picture), len(captions))
            picture += [" " * wide] * (height - len(picture))
            captions += [" " * room] * (height - len(captions))
            cards.append([f"{p} {c}" for p, c in zip(picture, captions, strict=True)])
        lines: list[str] = []
        for at in range(0, len(cards), self.per_row):
            lines += [""] * bool(at)
            row = cards[at : at + self.per_row]
            height = max(map(len, row))
            blank = " " * (_CARD - len(_GAP))
            full = [card + [blank] * (height - len(card)) for card in row]
            lines += [_GAP.join(parts).rstrip() for parts in zip(*full, strict=True)]
        return lines

    def _plain(self, example: int, parts: list[Part]) -> list[str]:
        room, words = self.width, []
        for part, how in parts:
            word = cut(part, room)
            room -= cell_width(word) + len(_GAP)
            words.append(_painted(word, how))
        line, text = _GAP.join(words), self.text(example)
        return [line] if text is None else [line, cut(f"{_GAP}{text}", self.width)]


def _facts(row: Row) -> list[Part]:
    """Target and output in words, an output that is wrong in red."""
    facts = [] if row["target"] is None else [(f"target {shown(row['target'])}", "")]
    how = "red" if row["is_right"] is False else ""
    if row["prediction"] is not None:
        share = "" if row["probability"] is None else f" {row['probability']:.0%}"
        facts.append((f"output {row['prediction']}{share}", how))
    elif row["output"] is not None:
        facts.append((f"output {shown(row['output'])}", how))
    return facts


def shown(value: Any) -> str:
    """A target, an output or another value in few words."""
    if isinstance(value, list):
        some = " ".join(number_text(v) for v in value[:4])
        return some + (" …" if len(value) > 4 else "")
    if isinstance(value, float | int) and not isinstance(value, bool):
        return number_text(value)
    return "-" if value is None else clean(value)


def cut(text: str, room: int) -> str:
    """The text, its end replaced by an ellipsis where there is no room."""
    if cell_width(text) <= room:
        return text
    while text and cell_width(text) > room - 1:
        text = text[:-1]
    return text + "…" if room > 0 else ""


def _padded(text: str, room: int) -> str:
    return text + " " * (room - cell_width(text))


def _painted(text: str, how: str) -> str:
    if not how or not has_colour():
        return text
    return click.style(text, bold=True) if how == "bold" else click.style(text, fg=how)
