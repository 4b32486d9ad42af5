"""The examples of a chosen set as they are stored, once: inputs, targets, digests.

Kinds: `image` (thumbnails, each a PNG file), `audio` (a PNG file of the waveform, and how long it
is), `text`, `vector` (any small array: its own shape, float32 or int64; rows of unequal length are
filled with 0 and `lengths` tells) and `other` (nothing of the input is stored and `reason` says
why). What is not known is absent, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from labbook.client.columns import Column, binary_column, column, header_of
from labbook.client.dataset import Examples, is_array, is_tensor
from labbook.client.digest import example_digest, set_digest
from labbook.client.parts import Target, display_input, inputs_and_target
from labbook.client.png import as_png
from labbook.client.thumbnails import as_image, thumbnails
from labbook.client.waveform import as_audio, is_audio, peak_of, waveform
from labbook.errors import MisuseError

__all__ = ["INPUT_BYTES", "INPUT_VALUES", "TEXT_CHARACTERS", "ExamplesRecord", "examples_record"]

INPUT_BYTES = 32 << 20
"""All stored inputs of one set: thumbnails get smaller and texts shorter to stay below it."""

INPUT_VALUES = 4096
"""Values of one stored vector input, or of one target."""

TEXT_CHARACTERS = 10_000
"""Longer texts are cut, and `cut` in the header counts them."""

ExamplesRecord = tuple[dict[str, Any], list[Column]]
"""Extra header fields, and columns."""


def examples_record(
    examples: Examples,
    *,
    target: Target = None,
    show: Callable[[Any], Any] | None = None,
    mean: Any = None,
    std: Any = None,
    sampling_rate: float | None = None,
) -> ExamplesRecord:
    """Describe a chosen set: what is stored of its inputs, targets and content."""
    n = len(examples.items)
    split = [inputs_and_target(item, target) for item in examples.items]
    shown = (
        [show(item) for item in examples.items] if show else [display_input(x) for x, _ in split]
    )
    digests = [example_digest(item) for item in examples.items]
    audio = _audio(shown, sampling_rate)
    inputs, columns = audio if audio is not None else _inputs(shown, mean, std)
    targets, target_columns = _targets([y for _, y in split])
    header = {
        "digest": set_digest(digests),
        "length": examples.length,
        **inputs,
        **targets,
    }
    columns = [column("index", examples.indices, n, "<i8"), *columns, *target_columns]
    if all(digest is not None for digest in digests):
        columns.append(_digest_column(digests))
    return header | {"columns": header_of(columns)}, columns


def _digest_column(digests: Sequence[bytes | None]) -> Column:
    """The first 8 bytes of each example's digest: enough to tell which examples differ."""
    data = b"".join(digest[:8] for digest in digests if digest is not None)
    return Column("digest", "<u8", (len(digests),), data)


def _audio(shown: list[Any], rate: float | None) -> ExamplesRecord | None:
    """Waveforms, where all are audio; None where they are not."""
    if rate is None and not all(map(is_audio, shown)):
        return None
    audios = [as_audio(value, rate) for value in shown]
    known = [audio for audio in audios if audio is not None]
    if len(known) < len(shown):
        return _other("inputs are no waveforms: numbers (samples,) or (channels, samples)")
    peak, n = peak_of(known), len(known)
    rates = {audio.rate for audio in known}
    header = {"kind": "audio", "encoding": "png", "peak": peak}
    if len(rates) == 1:
        header["sampling_rate"] = rates.pop()
    return header, [
        binary_column("input", [as_png(waveform(audio, peak)) for audio in known]),
        column("samples", [len(audio.samples) for audio in known], n),
        column("seconds", [audio.seconds for audio in known], n),
    ]


def _inputs(shown: list[Any], mean: Any, std: Any) -> ExamplesRecord:
    if all(isinstance(value, str) for value in shown):
        # four bytes are the most that a character takes
        most = max(1, min(TEXT_CHARACTERS, INPUT_BYTES // (4 * len(shown))))
        cut = sum(len(value) > most for value in shown)
        return {"kind": "text", "texts": [text[:most] for text in shown], "cut": cut}, []
    if all(_may_be_image(value) for value in shown):
        images = [as_image(value) for value in shown]
        known = [image for image in images if image is not None]
        if len(known) == len(shown):
            return _images(known, mean, std)
    return _vectors(shown)


def _may_be_image(value: Any) -> bool:
    return is_tensor(value) or is_array(value) or hasattr(value, "convert")


def _images(images: list[Any], mean: Any, std: Any) -> ExamplesRecord:
    try:
        small = thumbnails(images, INPUT_BYTES, mean, std)
    except ValueError as error:
        raise MisuseError(
            f"choose(mean=, std=) do not fit pictures of shape {images[0].shape}: {error}"
        ) from error
    if small is None:
        return _other(f"{len(images)} pictures are too many to store")
    header = {"kind": "image", "encoding": "png", "levels": list(small.levels)}
    return header, [binary_column("input", [as_png(picture) for picture in small.pictures])]


def _vectors(shown: list[Any]) -> ExamplesRecord:
    arrays = _number_arrays(shown)
    if arrays is None:
        return _other(f"inputs are {type(shown[0]).__name__}; pass show= to store a view of them")
    largest = max(array.size for array in arrays)
    if largest > INPUT_VALUES or largest * len(arrays) * 8 > INPUT_BYTES:
        return _other(f"inputs of shape {arrays[0].shape} are too large; pass show= for a view")
    if len({array.shape for array in arrays}) == 1:
        import numpy as np

        return {"kind": "vector"}, [column("input", np.stack(arrays), len(arrays))]
    if {array.ndim for array in arrays} == {1}:
        return _ragged(arrays)
    return _other("inputs have different shapes; pass show= for a view")


def _ragged(arrays: list[Any]) -> ExamplesRecord:
    import numpy as np

    lengths = [len(array) for array in arrays]
    filled = np.zeros((len(arrays), max(lengths)), np.result_type(*arrays))
    for row, array in zip(filled, arrays, strict=True):
        row[: len(array)] = array
    return {"kind": "vector", "lengths": lengths}, [column("input", filled, len(arrays))]


def _number_arrays(values: list[Any]) -> list[Any] | None:
    """Each value as a numeric array, or None when one of them is not numbers."""
    plain = (bool, int, float, list, tuple)
    if not all(is_tensor(v) or is_array(v) or isinstance(v, plain) for v in values):
        return None
    try:
        import numpy as np
    except ImportError:
        return None
    try:
        arrays = [np.asarray(_host(value)) for value in values]
    except (ValueError, TypeError):
        return None
    return arrays if all(array.dtype.kind in "fiub" for array in arrays) else None


def _host(value: Any) -> Any:
    if not is_tensor(value):
        return value
    value = value.detach().to("cpu")
    return (value.float() if value.is_floating_point() else value).numpy()


def _other(reason: str) -> ExamplesRecord:
    return {"kind": "other", "reason": reason}, []


def _targets(targets: list[Any]) -> ExamplesRecord:
    if all(target is None for target in targets):
        return {}, []
    if all(isinstance(target, str) for target in targets):
        return {"target_texts": [target[:TEXT_CHARACTERS] for target in targets]}, []
    if all(type(target) in (bool, int, float) for target in targets):
        return {}, [column("target", targets, len(targets))]
    arrays = _number_arrays(targets)
    if arrays is None or len({array.shape for array in arrays}) != 1:
        return {"target_reason": "targets are not numbers of one shape"}, []
    if arrays[0].size > INPUT_VALUES:
        return {"target_reason": f"targets of shape {arrays[0].shape} are too large"}, []
    import numpy as np

    return {}, [column("target", np.stack(arrays), len(targets))]
