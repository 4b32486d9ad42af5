"""A few examples as they were given to the model: pictures where they are pictures, else numbers.

Which ones depends on the size of the first batch alone, so that two runs that were given the same
first batch show the same, and their digests are equal.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from labbook.client.digest import example_digest, set_digest
from labbook.client.given_statistics import plain
from labbook.client.selection import draw
from labbook.client.thumbnails import as_image, thumbnails

__all__ = ["SIDE", "VALUES", "K", "few_examples"]

K: Final = 16
SIDE: Final = 32
"""Pictures are shrunk to at most so many pixels."""
VALUES: Final = 64
"""Of what is no picture so many values are kept."""


def few_examples(batch: Any) -> dict[str, Any]:
    """Describe at most `K` examples of a host tensor or array whose first axis counts them."""
    rows = draw(len(batch), K, 0)
    chosen = [batch[row] for row in rows]
    digests = [example_digest(one) for one in chosen]
    found: dict[str, Any] = {
        "rows": rows,
        "digests": [one.hex()[:16] if one else None for one in digests],
        "digest": set_digest(digests),
    }
    # (C, H, W), or with the channels last; a flat matrix is more often no picture
    images = [as_image(one) for one in chosen] if batch.ndim == 4 else [None]
    known = [image for image in images if image is not None]
    most_bytes = sum(SIDE * SIDE * image.shape[2] for image in known)
    small = thumbnails(known, most_bytes) if known and len(known) == len(chosen) else None
    if small is not None:
        import numpy as np

        pixels = np.stack(small.pictures)  # of one batch, so of one size
        return {
            **found,
            "kind": "image",
            "shape": list(pixels.shape),
            "sizes": [list(picture.shape[:2]) for picture in small.pictures],
            "levels": list(small.levels),
            "pixels": base64.b64encode(pixels.tobytes()).decode("ascii"),
        }
    return {**found, "kind": "values", "values": [_first_values(one) for one in chosen]}


def _first_values(example: Any) -> list[Any]:
    import numpy as np

    flat = np.asarray(example.float() if hasattr(example, "float") else example).reshape(-1)
    column = flat[:VALUES]
    if column.dtype.kind in "iub":
        return [int(value) for value in column]
    return plain(column.astype(np.float64))
