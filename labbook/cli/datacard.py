"""The text of `labbook data`: one function a part, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from labbook.book.text import clean
from labbook.cli.pictures import bars, beside, colours, draw
from labbook.cli.tables import Column, cell_width, has_colour, render
from labbook.cli.wording import bytes_text, number_text

if TYPE_CHECKING:
    from labbook.book.given import Card, Features, Few, Input, Mode

__all__ = ["card_lines", "chosen_target_lines", "fingerprint_lines"]

_INDENT: Final = "  "
_WIDTH: Final = 76
_CLASSES: Final = 20
"""Values that get a line each; more become a histogram."""
_CHANNELS: Final = 16
"""Channels or features that get a line each."""
_NAMED: Final = 12
_PICTURE: Final = 16


def fingerprint_lines(fingerprints: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield what `run.data` recorded."""
    if not fingerprints:
        return
    yield _title("Recorded with run.data")
    room = max(cell_width(clean(one["name"])) for one in fingerprints)
    for one in fingerprints:
        about = one["data"] if isinstance(one["data"], dict) else {}
        name = clean(one["name"])
        space = " " * (room - cell_width(name))
        parts = [*_size_of(about), str(about.get("type") or "")]
        yield f"{_INDENT}{name}{space}  {clean(', '.join(part for part in parts if part))}"
        digest = about.get("digest") or about.get("fingerprint")
        line = f"{str(digest)[:19]}… of {about.get('scope') or 'all'}" if digest else ""
        reason = f"no digest: {about['reason']}" if about.get("reason") else ""
        for said in filter(None, (line, reason)):
            yield f"{_INDENT}{' ' * room}  {clean(said)}"


def _size_of(about: dict[str, Any]) -> Iterator[str]:
    for key, unit in (("length", "examples"), ("n_files", "files")):
        if isinstance(about.get(key), int):
            yield f"{about[key]:,} {unit}"
    if isinstance(about.get("bytes"), int):
        yield bytes_text(about["bytes"])


def card_lines(card: Card) -> Iterator[str]:
    """Yield what one model was given."""
    for mode, found in (("training", card.train), ("evaluation", card.eval)):
        if found is None:
            continue
        name = "" if card.name == "model" else f" {clean(card.name)!r}"
        yield _title(f"Given to the model{name} ({clean(card.model)}) in {mode}")
        yield from (_INDENT + line if line else "" for line in _mode(found))
        if mode == "training" and not found.targets:
            yield ""
            yield f"{_INDENT}targets are not known: use run.loader(…), or run.inspect(model, loss)"
        yield ""
    said = list(_circumstances(card))
    yield from (_INDENT + line for line in said)
    if said:
        yield ""


def _circumstances(card: Card) -> Iterator[str]:
    if card.eval_modules:
        kinds = [f"{n} {clean(kind)}" for kind, n in card.eval_modules.items()]
        yield f"in eval mode while it trains: {', '.join(kinds)}"
    if card.autocast:
        yield f"trains under autocast to {clean(card.autocast)}"
    for key, what in (
        ("train_without_grad", "in training mode had gradients off, and are not counted"),
        ("eval_with_grad", "in eval mode had gradients on"),
    ):
        if n := card.forwards.get(key):
            yield f"{_n(n, 'forward pass', 'forward passes')} {what}"


def _mode(mode: Mode) -> Iterator[str]:
    skipped = f"; {mode.batches_skipped} passed over" if mode.batches_skipped else ""
    yield f"the first {_n(mode.batches, 'batch', 'batches')}, {mode.examples:,} examples{skipped}"
    for given in mode.inputs:
        yield ""
        yield from _input(given, mode)
    if mode.others:
        yield ""
        pairs = [f"{clean(name)} = {clean(value)}" for name, value in mode.others]
        yield f"and no tensors: {', '.join(pairs)}"
    for target in mode.targets:
        yield ""
        yield from _target(target, mode)


def _input(given: Input, mode: Mode) -> Iterator[str]:
    yield from _head(given, bold=True)
    yield from _scale(given)
    if given.features is not None:
        is_scale = not any(dtype.startswith(("int", "uint")) for dtype in given.dtypes)
        yield from (_INDENT + line for line in _features(given.features, is_scale))
    if given.n_grey:
        yield f"{_INDENT}{given.n_grey} of {given.examples_counted:,} pictures are grey"
    if given.few is not None:
        yield from (_INDENT + line for line in _few(given.few, mode))


def _head(given: Input, *, bold: bool) -> Iterator[str]:
    name = clean(given.name)
    shapes = [f"({', '.join(map(str, shape))})" for shape, _ in given.shapes[:3]]
    more = ", …" if len(given.shapes) > 3 else ""
    text = f"{'/'.join(map(clean, given.dtypes))} {' '.join(shapes)}{more}"
    text += f" on {', '.join(map(clean, given.devices))}"
    yield f"{click.style(name, bold=True) if bold and has_colour() else name}  {text}"
    if given.examples_counted < given.examples_given:
        yield (
            f"{_INDENT}described from the first of each batch: {given.examples_counted:,} of "
            f"{given.examples_given:,} examples"
        )
    yield from (f"{_INDENT}not described: {clean(reason)}" for reason in given.reasons)


def _scale(given: Input) -> Iterator[str]:
    if given.mean is None:
        if given.n:
            yield f"{_INDENT}no finite value"
        return
    zeros = f"{100 * given.n_zero / given.n:.3g} % zeros" if given.n else ""
    yield (
        f"{_INDENT}{number_text(given.low)} to {number_text(given.high)}, "
        f"mean {number_text(given.mean)}, sd {number_text(given.sd)}, {zeros}"
    )
    for n, what in ((given.n_nan, "NaN"), (given.n_inf, "infinite")):
        if n:
            line = f"{n:,} of {given.n:,} values are {what}"
            yield _INDENT + (click.style(line, fg="red") if has_colour() else line)
    yield from _bars(given)


def _bars(given: Input) -> Iterator[str]:
    histogram = given.histogram
    if histogram is None or given.low is None or given.high is None or given.low == given.high:
        return
    left, right = number_text(given.low), number_text(given.high)
    room = _WIDTH - len(left) - len(right) - 6
    said = f"  ({len(histogram.values)} different values)" if histogram.values else ""
    if histogram.values and len(histogram.values) <= room - len(said):
        # bins between values that are few would only be gaps
        yield f"{_INDENT}{left} {bars([n for _, n in histogram.values], room)} {right}{said}"
        return
    filled = [at for at, n in enumerate(histogram.counts) if n]
    shown = histogram.counts[filled[0] : filled[-1] + 1] if filled else ()
    yield f"{_INDENT}{left} {bars(shown, room)} {right}"


def _features(features: Features, is_scale: bool) -> Iterator[str]:
    """`is_scale`: the numbers measure something; standard deviations of ids say nothing."""
    n = len(features.mean)
    what = "channel" if n <= 4 else "feature"
    if 1 < n <= _CHANNELS:
        yield from render(_feature_columns(features, what), _WIDTH - 4)[0]
    elif n > _CHANNELS and is_scale:
        known = [sd for sd in features.sd if sd is not None]
        if known:
            middle = sorted(known)[len(known) // 2]
            yield (
                f"{n} {what}s (axis {features.axis}): sd {number_text(min(known))} to "
                f"{number_text(max(known))}, median {number_text(middle)}"
            )
    if n > 1 and features.constant:
        yield f"constant: {_some(features.constant)} of {n} {what}s"
    broken = [at for at, count in enumerate(features.n_not_finite) if count]
    if broken:
        yield f"with values that are not finite: {_some(broken)}"


def _feature_columns(features: Features, what: str) -> list[Column]:
    def numbers(title: str, cells: Sequence[float | None]) -> Column:
        return Column(title, [number_text(cell) for cell in cells], is_number=True)

    totals = zip(features.n_zero, features.n, strict=True)
    zeros = [f"{100 * zero / n:.3g} %" if n else "-" for zero, n in totals]
    return [
        Column(what, [str(at) for at in range(len(features.mean))], is_number=True),
        numbers("min", features.low),
        numbers("max", features.high),
        numbers("mean", features.mean),
        numbers("sd", features.sd),
        Column("zeros", zeros, is_number=True),
    ]


def _some(places: Sequence[int]) -> str:
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(map(str, places[:_NAMED])) + more


# ---------------------------------------------------------------------- targets, examples


def _target(target: Input, mode: Mode) -> Iterator[str]:
    yield from _head(target, bold=True)
    yield f"{_INDENT}as {clean(mode.targets_from)} has them"
    values = target.histogram.values if target.histogram else None
    if not values or not all(value.is_integer() for value, _ in values):
        yield from _scale(target)
        return
    yield from (_INDENT + line for line in _classes(values))


def _classes(values: Sequence[tuple[float, int]]) -> Iterator[str]:
    total = sum(n for _, n in values) or 1
    most, least = max(values, key=lambda v: v[1]), min(values, key=lambda v: v[1])
    yield (
        f"{_n(len(values), 'value', 'values')}, from {_share(*least, total)} to "
        f"{_share(*most, total)}"
    )
    if len(values) > _CLASSES:
        yield bars([n for _, n in values], _WIDTH - 4)
        return
    room = max(len(f"{value:.0f}") for value, _ in values)
    for value, n in values:
        bar = "█" * round(40 * n / most[1]) or "▏"
        yield f"{value:>{room}.0f} {bar} {n:,}"


def _share(value: float, n: int, total: int) -> str:
    return f"{100 * n / total:.3g} % ({value:.0f})"


def _few(few: Few, mode: Mode) -> Iterator[str]:
    if few.shape is None:
        yield from _first_values(few)
        return
    import numpy as np

    pixels = np.frombuffer(few.pixels, np.uint8).reshape(few.shape)
    pixels = pixels[..., 0] if few.shape[-1] == 1 else pixels[..., :3]
    n_colours = colours()
    labels = _labels(few, mode)
    _, height, width, _ = few.shape
    cells = min(width, _PICTURE)
    step = -(-width // cells)
    cells = -(-width // step)
    a_row = max(1, (_WIDTH - 4) // (cells + 2))
    n = min(len(pixels), a_row * (2 if height // step > 8 else 4))
    yield f"{n} of them, drawn at random from the first batch:"
    for start in range(0, n, a_row):
        places = range(start, min(start + a_row, n))
        drawn = [draw(pixels[at], cells, -(-height // 2), n_colours) for at in places]
        yield from (line if n_colours else line.rstrip() for line in beside(drawn))
        if labels:
            yield "  ".join(f"{labels[at]:<{cells}.{cells}}" for at in places).rstrip()


def _first_values(few: Few) -> Iterator[str]:
    yield "a few, drawn at random from the first batch:"
    for row, values in list(zip(few.rows, few.values, strict=False))[:4]:
        text = " ".join(number_text(value) for value in values)
        room = _WIDTH - 4 - len(f"{row}: ")
        yield f"{row}: {text if len(text) <= room else text[: room - 1] + '…'}"


def _labels(few: Few, mode: Mode) -> list[str]:
    """Targets of the same examples, where they are one number each."""
    for target in mode.targets:
        other = target.few
        if (
            other is not None
            and other.rows == few.rows
            and len(other.values) == len(few.rows)
            and all(len(values) == 1 for values in other.values)
        ):
            return [number_text(values[0]) for values in other.values]
    return []


def chosen_target_lines(name: str, values: Sequence[tuple[float, int]]) -> Iterator[str]:
    """Yield the targets of a chosen set: what is known of targets when no loop told."""
    yield _title(f"Targets of the chosen set {clean(name)!r}")
    yield from (_INDENT + line for line in _classes(values))


def _n(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _title(text: str) -> str:
    return click.style(text, bold=True) if has_colour() else text
