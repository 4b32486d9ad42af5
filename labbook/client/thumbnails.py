"""Small pictures of image inputs, uint8 (height, width, channels) each.

Invariant: one mapping from values to grey levels for the whole set, stored beside it, so that two
examples that differ in brightness differ in their thumbnails. numpy is imported here, and only for
programs whose inputs are arrays, tensors or PIL images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.client.dataset import is_array, is_tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SIDE", "Thumbnails", "as_image", "thumbnails"]

SIDE = 64
"""No thumbnail is higher or wider."""

_LEAST_SIDE = 4  # a (3, 3) array is more likely a matrix than a picture
_CHANNELS = (1, 3, 4)
_PLAIN_MODES = ("L", "RGB", "RGBA", "I", "I;16", "F")  # PIL's whose array is the picture


@dataclass(frozen=True)
class Thumbnails:
    """The pictures, with what it takes to read them."""

    pictures: list[NDArray[Any]]
    """uint8 (height, width, channels) each."""
    levels: tuple[float, float]
    """The input values shown as 0 and 255."""


def as_image(value: Any) -> NDArray[Any] | None:
    """Return the picture that this input is, as (height, width, channels); None when it is none.

    Taken for pictures: PIL images, and arrays or tensors (C, H, W), (H, W, C) or (H, W) with C of
    1, 3 or 4 and sides of at least 4. float stays float: nothing is scaled here.
    """
    import numpy as np

    if hasattr(value, "convert") and hasattr(value, "mode"):  # a PIL image
        if value.mode not in _PLAIN_MODES:
            value = value.convert("RGB")
        value = np.asarray(value)
    elif is_tensor(value):
        value = value.detach().to("cpu")
        value = (value.float() if value.is_floating_point() else value).numpy()
    if not is_array(value) or value.dtype.kind not in "fiub":
        return None
    if value.ndim == 2:
        value = value[:, :, None]
    elif value.ndim == 3 and value.shape[0] in _CHANNELS and value.shape[2] not in _CHANNELS:
        value = value.transpose(1, 2, 0)
    if value.ndim != 3 or value.shape[2] not in _CHANNELS or min(value.shape[:2]) < _LEAST_SIDE:
        return None
    image: NDArray[Any] = value
    return image


def thumbnails(
    images: Sequence[NDArray[Any]],
    most_bytes: int,
    mean: Any = None,
    std: Any = None,
) -> Thumbnails | None:
    """Shrink pictures to `SIDE` × `SIDE`, or less where all would exceed `most_bytes` unpacked.

    `mean` and `std` (a number, or one a channel) undo the dataset's own normalisation first. None
    when there are too many even at the least side.
    """
    import numpy as np

    side = _side(images, most_bytes)
    if side is None:
        return None
    # undone one by one, twice: all at once would hold every picture as floats
    low, high = _levels(_undo(image, mean, std) for image in images)
    pictures = []
    for image in images:
        small = _shrink(_undo(image, mean, std).astype(np.float32), side)
        level = (np.nan_to_num(small, nan=low) - low) / ((high - low) or 1.0) * 255
        pictures.append(level.clip(0, 255).round().astype(np.uint8))
    return Thumbnails(pictures, (low, high))


def _side(images: Sequence[NDArray[Any]], most_bytes: int) -> int | None:
    """The largest side at which all pictures fit."""
    for side in (SIDE, 48, 32, 24, 16, 12, 8):
        if sum(h * w * image.shape[2] for image in images for h, w in [_size(image, side)]) <= (
            most_bytes
        ):
            return side
    return None


def _size(image: NDArray[Any], side: int) -> tuple[int, int]:
    """Height and width of a picture once it fits into `side` × `side`."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _undo(image: NDArray[Any], mean: Any, std: Any) -> NDArray[Any]:
    import numpy as np

    undone = image
    if std is not None:
        undone = undone * np.asarray(std, np.float32)
    if mean is not None:
        undone = undone + np.asarray(mean, np.float32)
    if undone.shape != image.shape:
        raise ValueError(f"they make {undone.shape[2]} channels of {image.shape[2]}")
    return undone


def _levels(images: Iterable[NDArray[Any]]) -> tuple[float, float]:
    """0–255 for bytes, 0–1 for what lies within it (or nearly), else the set's own range."""
    import numpy as np

    low, high, is_bytes = np.inf, -np.inf, True
    for image in images:
        is_bytes = is_bytes and image.dtype == np.uint8
        finite = image[np.isfinite(image)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if is_bytes:
        return 0.0, 255.0
    if low > high:
        return 0.0, 1.0
    # undoing a normalisation misses 0 and 1 by rounding
    return (0.0, 1.0) if low >= -1e-3 and high <= 1 + 1e-3 else (low, high)


def _shrink(image: NDArray[Any], side: int) -> NDArray[Any]:
    """Mean over areas; pictures that fit are returned as they are."""
    import numpy as np

    for axis, length in enumerate(_size(image, side)):
        if length < image.shape[axis]:
            edges = np.linspace(0, image.shape[axis], length + 1).round().astype(int)
            sums = np.add.reduceat(image, edges[:-1], axis=axis)
            counts = np.diff(edges).reshape([-1 if i == axis else 1 for i in range(3)])
            image = (sums / counts).astype(np.float32)
    return image
