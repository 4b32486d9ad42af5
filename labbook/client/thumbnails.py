"""Small pictures of image inputs: one uint8 array (examples, height, width, channels) for all.

Invariant: one mapping from values to grey levels for the whole set, stored beside it, so that two
examples that differ in brightness differ in their thumbnails. numpy is imported here, and only for
programs whose inputs are arrays, tensors or PIL images.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    pixels: NDArray[Any]
    """uint8 (examples, height, width, channels); smaller ones stand in the upper left corner."""
    sizes: list[list[int]]
    """Height and width of each picture within `pixels`."""
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
    side: int = SIDE,
    mean: Any = None,
    std: Any = None,
) -> Thumbnails:
    """Shrink pictures to at most `side` × `side` and to 256 levels.

    `mean` and `std` (a number, or one a channel) undo the dataset's own normalisation first.
    """
    import numpy as np

    undone = [_undo(image, mean, std) for image in images]
    low, high = _levels(undone)
    small = [_shrink(image.astype(np.float32), side) for image in undone]
    height, width = (max(image.shape[axis] for image in small) for axis in (0, 1))
    channels = max(image.shape[2] for image in small)
    pixels = np.zeros((len(small), height, width, channels), np.uint8)
    for at, image in zip(pixels, small, strict=True):
        level = (np.nan_to_num(image, nan=low) - low) / ((high - low) or 1.0) * 255
        at[: image.shape[0], : image.shape[1]] = _spread(level.clip(0, 255).round(), channels)
    return Thumbnails(pixels, [list(image.shape[:2]) for image in small], (low, high))


def _undo(image: NDArray[Any], mean: Any, std: Any) -> NDArray[Any]:
    import numpy as np

    if std is not None:
        image = image * np.asarray(std, np.float32)
    if mean is not None:
        image = image + np.asarray(mean, np.float32)
    return image


def _levels(images: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """0–255 for bytes, 0–1 for what lies within it (or nearly), else the set's own range."""
    import numpy as np

    if all(image.dtype == np.uint8 for image in images):
        return 0.0, 255.0
    finite = [image[np.isfinite(image)] for image in images]
    finite = [values for values in finite if values.size]
    if not finite:
        return 0.0, 1.0
    low = float(min(values.min() for values in finite))
    high = float(max(values.max() for values in finite))
    # undoing a normalisation misses 0 and 1 by rounding
    return (0.0, 1.0) if low >= -1e-3 and high <= 1 + 1e-3 else (low, high)


def _shrink(image: NDArray[Any], side: int) -> NDArray[Any]:
    """Mean over areas; pictures that fit are returned as they are."""
    import numpy as np

    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    for axis in (0, 1):
        length = image.shape[axis]
        edges = np.linspace(0, length, max(1, round(length * scale)) + 1).round().astype(int)
        sums = np.add.reduceat(image, edges[:-1], axis=axis)
        counts = np.diff(edges).reshape([-1 if i == axis else 1 for i in range(3)])
        image = (sums / counts).astype(np.float32)
    return image


def _spread(image: NDArray[Any], channels: int) -> NDArray[Any]:
    """Show a grey or opaque picture among ones with more channels."""
    import numpy as np

    if image.shape[2] == 1 and channels > 1:
        image = np.repeat(image, min(channels, 3), axis=2)
    if image.shape[2] < channels:
        opaque = np.full((*image.shape[:2], channels - image.shape[2]), 255.0)
        image = np.concatenate([image, opaque], axis=2)
    return image
