"""One HTML file of pictures and words: no scripts, nothing fetched from elsewhere.

Invariant: every word that comes from the data is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from labbook.checks.shown import Shown
from labbook.client.png import as_png

__all__ = ["Cell", "Part", "page"]

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
       color: #222; background: #fff }
h1 { font-size: 1.3rem } h2 { font-size: 1rem; margin: 1.8rem 0 .2rem }
p { margin: .2rem 0 .6rem; color: #555 }
.row { display: flex; flex-wrap: wrap; gap: .8rem; margin: .4rem 0 }
figure { margin: 0; max-width: 12rem } figcaption { font-size: 12px; color: #555 }
img { image-rendering: pixelated; height: 6rem; min-width: 3rem; max-width: 12rem;
      object-fit: contain; background: #eee; display: block }
code { display: block; min-height: 3rem; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 }
  p, figcaption { color: #aaa } img { background: #333 } }
"""


@dataclass(frozen=True)
class Cell:
    """One example, and what is said below it."""

    what: Shown
    caption: str


@dataclass(frozen=True)
class Part:
    """A heading, a sentence, and rows of examples."""

    title: str
    about: str
    rows: Sequence[Sequence[Cell]]


def page(title: str, about: str, parts: Iterable[Part]) -> str:
    """The whole file."""
    body = "".join(map(_part, parts))
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(about)}</p>\n{body}</html>\n"
    )


def _part(part: Part) -> str:
    rows = "".join(f"<div class=row>{''.join(map(_cell, row))}</div>\n" for row in part.rows)
    return f"<h2>{escape(part.title)}</h2>\n<p>{escape(part.about)}</p>\n{rows}"


def _cell(cell: Cell) -> str:
    if cell.what.picture is not None:
        data = base64.b64encode(as_png(cell.what.picture)).decode()
        seen = f'<img alt="{escape(cell.caption, quote=True)}" src="data:image/png;base64,{data}">'
    else:
        seen = f"<code>{escape(cell.what.text)}</code>"
    return f"<figure>{seen}<figcaption>{escape(cell.caption)}</figcaption></figure>"
