"""What models were given: the data cards of a run, read back.

A card comes from a file that may be older, broken or hostile: what is not of the right kind is
None, never an error, and pictures are only taken at the size they claim.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from labbook.book.attempts import order_of
from labbook.book.facts import Facts, as_int, as_text, entries, read_object
from labbook.errors import DamagedFile

__all__ = ["Card", "Features", "Few", "Histogram", "Input", "Mode", "cards", "newest_cards"]

_MOST_PIXELS: Final = 1 << 20


@dataclass(frozen=True)
class Histogram:
    """Counts of bins that begin at `low` and are `width` wide; of each value where they are few."""

    low: float
    width: float
    counts: tuple[int, ...]
    values: tuple[tuple[float, int], ...] | None


@dataclass(frozen=True)
class Features:
    """Statistics of each channel or feature; columns of equal length, None where not known."""

    axis: int | None
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    sd: tuple[float | None, ...]
    n: tuple[int, ...]
    n_zero: tuple[int, ...]
    n_not_finite: tuple[int, ...]
    distinct: tuple[int, ...]
    """Different values: 0, 1, 2, or 3 for more."""

    @property
    def constant(self) -> list[int]:
        """Features that have one value throughout."""
        return [i for i, n in enumerate(self.distinct) if n == 1]


@dataclass(frozen=True)
class Few:
    """A few examples: pictures (examples, height, width, channels) of bytes, or first values."""

    rows: tuple[int, ...]
    shape: tuple[int, int, int, int] | None
    pixels: bytes
    sizes: tuple[tuple[int, int], ...]
    values: tuple[tuple[float | None, ...], ...]
    digest: str | None


@dataclass(frozen=True)
class Input:
    """One input of a model, or one target."""

    name: str
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    shapes: tuple[tuple[tuple[int, ...], int], ...]
    """(shape, batches), the most frequent first."""
    examples_given: int
    examples_counted: int
    n: int
    n_zero: int
    n_nan: int
    n_inf: int
    low: float | None
    high: float | None
    mean: float | None
    sd: float | None
    histogram: Histogram | None
    features: Features | None
    few: Few | None
    n_grey: int | None
    reasons: tuple[str, ...]
    """Why batches could not be described."""

    @property
    def shape(self) -> tuple[int | None, ...] | None:
        """Shape of an example; None where axes differ, or where nothing is known."""
        if not self.shapes:
            return None
        examples = [shape[1:] for shape, _ in self.shapes]
        if len({len(shape) for shape in examples}) != 1:
            return None
        return tuple(
            axis[0] if len(set(axis)) == 1 else None for axis in zip(*examples, strict=True)
        )


@dataclass(frozen=True)
class Mode:
    """The forward passes in training, or those in evaluation."""

    batches: int
    examples: int
    batches_skipped: int
    inputs: tuple[Input, ...]
    targets: tuple[Input, ...]
    targets_from: str | None
    others: tuple[tuple[str, str], ...]
    digest: str | None


@dataclass(frozen=True)
class Card:
    """What one model of one process was given."""

    writer: str
    name: str
    model: str
    forwards: dict[str, int]
    first_mode: str | None
    eval_modules: dict[str, int]
    """Submodules that were in eval mode in the first training pass, by type."""
    autocast: str | None
    """The dtype of autocast there; None when it was off."""
    train: Mode | None
    eval: Mode | None
    raw: dict[str, Any]
    """The file as it is."""


def cards(facts: Facts) -> tuple[list[Card], list[str]]:
    """All cards of a run, by attempt, rank and name; and what could not be read, a line each."""
    found, damage = [], []
    for entry in entries(facts.paths.given_folder):
        if not entry.name.endswith(".json") or entry.name.startswith("."):
            continue
        try:
            found.append(_card(read_object(entry.path)))
        except DamagedFile as error:
            damage.append(str(error))
        except FileNotFoundError:
            pass  # replaced in this moment
    return sorted(found, key=lambda c: (order_of(facts, c.writer), c.name)), damage


def newest_cards(facts: Facts) -> list[Card]:
    """The cards of the newest attempt's rank 0; those of the newest writer that has any."""
    found, _ = cards(facts)
    process = facts.newest()
    mine = [card for card in found if process is not None and card.writer == process.writer]
    return mine or [card for card in found if card.writer == found[-1].writer]


def _card(raw: dict[str, Any]) -> Card:
    forwards = _object(raw.get("forwards"))
    training = _object(raw.get("while_training"))
    return Card(
        writer=as_text(raw.get("writer")) or "",
        name=as_text(raw.get("name")) or "model",
        model=as_text(raw.get("model")) or "?",
        forwards={mode: _count(n) for mode, n in forwards.items()},
        first_mode=as_text(raw.get("first_mode")),
        eval_modules={t: _count(n) for t, n in _object(training.get("eval_modules")).items()},
        autocast=as_text(training.get("autocast")),
        train=_mode(raw.get("train")),
        eval=_mode(raw.get("eval")),
        raw=raw,
    )


def _mode(raw: Any) -> Mode | None:
    if not isinstance(raw, dict):
        return None
    return Mode(
        batches=_count(raw.get("batches")),
        examples=_count(raw.get("examples")),
        batches_skipped=_count(raw.get("batches_skipped")),
        inputs=tuple(_inputs(raw.get("inputs"))),
        targets=tuple(_inputs(raw.get("targets"))),
        targets_from=as_text(raw.get("targets_from")),
        others=tuple((name, str(value)) for name, value in _object(raw.get("others")).items()),
        digest=as_text(raw.get("digest")),
    )


def _inputs(raw: Any) -> Iterator[Input]:
    for name, found in _object(raw).items():
        about = _object(found)
        yield Input(
            name=name,
            dtypes=tuple(_object(about.get("dtypes"))),
            devices=tuple(_object(about.get("devices"))),
            shapes=tuple(_shapes(about.get("shapes"))),
            examples_given=_count(about.get("examples_given")),
            examples_counted=_count(about.get("examples_counted")),
            n=_count(about.get("n")),
            n_zero=_count(about.get("n_zero")),
            n_nan=_count(about.get("n_nan")),
            n_inf=_count(about.get("n_inf")),
            low=_number(about.get("min")),
            high=_number(about.get("max")),
            mean=_number(about.get("mean")),
            sd=_number(about.get("sd")),
            histogram=_histogram(about.get("histogram")),
            features=_features(about.get("features")),
            few=_few(about.get("few")),
            n_grey=as_int(_object(about.get("examples")).get("n_grey")),
            reasons=tuple(_object(about.get("reasons"))),
        )


def _shapes(raw: Any) -> Iterator[tuple[tuple[int, ...], int]]:
    for pair in _list(raw):
        if isinstance(pair, list) and len(pair) == 2:
            yield tuple(_counts(pair[0])), _count(pair[1])


def _histogram(raw: Any) -> Histogram | None:
    about = _object(raw)
    low, width = _number(about.get("low")), _number(about.get("width"))
    counts = _counts(about.get("counts"))
    if low is None or width is None or width <= 0 or not counts:
        return None
    values: list[tuple[float, int]] | None = None
    if isinstance(about.get("values"), list):
        pairs = [p for p in about["values"] if isinstance(p, list) and len(p) == 2]
        known = [(_number(value), _count(n)) for value, n in pairs]
        values = [(value, n) for value, n in known if value is not None]
    return Histogram(low, width, tuple(counts), None if values is None else tuple(values))


def _features(raw: Any) -> Features | None:
    about = _object(raw)
    numbers = [[_number(v) for v in _list(about.get(k))] for k in ("min", "max", "mean", "sd")]
    names = ("n", "n_zero", "n_not_finite", "distinct")
    counts = [_counts(about.get(name)) for name in names]
    lengths = {*map(len, numbers), *map(len, counts)}
    if len(lengths) != 1 or not counts[0]:
        return None
    low, high, mean, sd = map(tuple, numbers)
    return Features(as_int(about.get("axis")), low, high, mean, sd, *map(tuple, counts))


def _few(raw: Any) -> Few | None:
    about = _object(raw)
    rows = _counts(about.get("rows"))
    if not rows:
        return None
    shape, pixels = _pictures(about)
    values = [tuple(_number(v) for v in _list(one)) for one in _list(about.get("values"))]
    sizes = [
        (size[0], size[1]) for size in map(_counts, _list(about.get("sizes"))) if len(size) == 2
    ]
    return Few(
        rows=tuple(rows),
        shape=shape,
        pixels=pixels,
        sizes=tuple(sizes),
        values=tuple(values),
        digest=as_text(about.get("digest")),
    )


def _pictures(about: dict[str, Any]) -> tuple[tuple[int, int, int, int] | None, bytes]:
    shape, text = _counts(about.get("shape")), as_text(about.get("pixels"))
    if len(shape) != 4 or text is None or not 0 < math.prod(shape) <= _MOST_PIXELS:
        return None, b""
    try:
        pixels = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None, b""
    if len(pixels) != math.prod(shape):
        return None, b""
    n, height, width, channels = shape
    return (n, height, width, channels), pixels


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _count(value: Any) -> int:
    return max(as_int(value) or 0, 0)


def _counts(value: Any) -> list[int]:
    return [_count(one) for one in _list(value)]
