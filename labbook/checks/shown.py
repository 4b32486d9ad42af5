"""Examples as a person can look at them: pictures, curves, or a line of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from labbook.client.thumbnails import as_image

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Levels", "Shown", "levels_of", "shown"]

Levels = tuple[float, float]
"""The values shown as black and as white: one pair for a whole set."""

_NUMBERS: Final = 12
_CURVE: Final = (32, 96)


@dataclass(frozen=True)
class Shown:
    """`picture`, uint8 (height, width, channels), where there is one, and `text` beside it."""

    picture: NDArray[Any] | None
    text: str


def levels_of(rows: Tensor) -> Levels:
    """The 1st and the 99th percentile of the finite values."""
    import torch

    values = rows.detach().reshape(-1).double()
    values = values[values.isfinite()]
    if not len(values):
        return 0.0, 1.0
    values = values[:: max(1, len(values) // 100_000)]
    low, high = (float(q) for q in torch.quantile(values, values.new_tensor([0.01, 0.99])))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def shown(value: Tensor, levels: Levels) -> Shown:
    """One example's input, without the axis of examples."""
    import numpy as np

    image = as_image(value)
    if image is not None:
        low, high = levels
        scaled = (image.astype(np.float64) - low) / (high - low) * 255
        return Shown(np.nan_to_num(scaled).clip(0, 255).astype(np.uint8), "")
    flat = value.detach().reshape(-1)
    is_float = flat.is_floating_point()
    if is_float and len(flat) > _NUMBERS:
        return Shown(_curve(flat.double().numpy()), "")
    numbers = [f"{v:.3g}" if is_float else str(int(v)) for v in flat[: 4 * _NUMBERS].tolist()]
    more = " …" if len(flat) > len(numbers) else ""
    return Shown(None, " ".join(numbers) + more)


def _curve(values: NDArray[Any]) -> NDArray[Any]:
    """Black on white, from the least to the greatest value."""
    import numpy as np

    height, width = _CURVE
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    parts = np.array_split(values, min(width, len(values)))
    low, high = float(values.min()), float(values.max())
    scale = (height - 1) / (high - low) if high > low else 0.0
    picture = np.full((height, len(parts), 1), 255, np.uint8)
    before = None
    for column, part in enumerate(parts):
        ends = [round((float(v) - low) * scale) for v in (part.min(), part.max())]
        first = min(ends[0], before if before is not None else ends[0])
        last = max(ends[1], before if before is not None else ends[1])
        picture[height - 1 - last : height - first, column] = 0
        before = round((float(part[-1]) - low) * scale)
    return picture
