"""Numbers, ages and names as the terminal shows them: pure functions, no width is ever guessed.

Invariant: what `cut` and `pad` return has exactly the cells asked for (wide characters counted).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size

__all__ = [
    "ago",
    "bytes_text",
    "cut",
    "decimals",
    "duration",
    "fixed",
    "folded",
    "grouped",
    "number",
    "on_the_point",
    "pad",
    "plural",
    "point_of",
    "value_text",
]

MINUTE, HOUR, DAY = 60, 3600, 86400


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells, ending in `…` when something was left out."""
    if width <= 0:
        return ""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…"


def pad(text: str, width: int, right: bool = False) -> str:
    """`text` in exactly `width` cells; right-aligned when `right`."""
    text = cut(text, width)
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def folded(text: str, width: int, most: int) -> list[str]:
    """`text` in at most `most` lines of `width` cells, broken at blanks, or within long words."""
    lines = [""]
    for word in text.split():
        pieces = [word[at : at + width] for at in range(0, len(word), max(1, width))]
        for piece in pieces:
            joined = f"{lines[-1]} {piece}".strip()
            if cell_len(joined) <= width:
                lines[-1] = joined
            else:
                lines.append(piece)
    lines = [line for line in lines if line] or [""]
    return lines if len(lines) <= most else [*lines[: most - 1], cut(lines[most - 1] + " …", width)]


def grouped(count: int) -> str:
    """A whole number in groups of three: `20 120`."""
    return f"{count:,}".replace(",", " ")


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{grouped(count)} {noun}" + ("" if count == 1 else "s")


def number(value: float | None, digits: int = 4) -> str:
    """A number with `digits` significant digits; `–` when there is none."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size > 6:
        return f"{value:.{digits - 2}e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    if float(value).is_integer() and size >= digits - 1:
        return str(int(value))
    return f"{value:.{max(0, digits - 1 - size)}f}"


def decimals(values: Iterable[float | None], digits: int = 4) -> int:
    """How many decimals show a column of values with about `digits` significant ones.

    The same count is used for every row, so that the numbers stand aligned on the point.
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    if known and all(float(v).is_integer() for v in known):
        return 0
    sizes = sorted(math.floor(math.log10(abs(v))) for v in known if v)
    if not sizes:
        return digits - 1
    return min(6, max(0, digits - 1 - sizes[len(sizes) // 2]))


def fixed(value: float | None, places: int) -> str:
    """A value with `places` decimals, or in exponent form where these would hide it."""
    if value is None or not math.isfinite(value):
        return number(value)
    if value != 0 and (abs(value) < 0.5 * 10.0**-places or abs(value) >= 1e7):
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.{places}f}"


def point_of(text: str) -> int:
    """How many digits a number as text has after its point; 0 in exponent form."""
    return 0 if "e" in text else len(text.partition(".")[2])


def on_the_point(text: str, places: int) -> str:
    """A number as text, with blanks for the digits that others of its column have beyond it."""
    missing = places - point_of(text)
    if places == 0 or "e" in text or "n" in text:
        return text
    return text + " " * (missing + ("." not in text))


def duration(seconds: float) -> str:
    """A length of time in at most two units: `45s`, `2m 05s`, `2h 11m`, `3d 4h`."""
    total = max(0, int(seconds))
    if total < MINUTE:
        return f"{total}s"
    if total < HOUR:
        return f"{total // MINUTE}m {total % MINUTE:02d}s"
    if total < DAY:
        return f"{total // HOUR}h {total % HOUR // MINUTE:02d}m"
    return f"{total // DAY}d {total % DAY // HOUR}h"


def ago(seconds: float) -> str:
    """An age in one unit: `now`, `45s`, `12m`, `5h`, `3d`, `2y`."""
    total = int(seconds)
    if total < 2:
        return "now"
    for limit, unit, letter in ((MINUTE, 1, "s"), (HOUR, MINUTE, "m"), (2 * DAY, HOUR, "h")):
        if total < limit:
            return f"{total // unit}{letter}"
    return f"{total // DAY}d" if total < 700 * DAY else f"{total // (365 * DAY)}y"


def bytes_text(size: float) -> str:
    """A size in binary units with three digits: `1.21 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def value_text(value: object) -> str:
    """An argument's value on one line: numbers as typed, texts bare, nested ones like Python's."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {value_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    return str(value)
