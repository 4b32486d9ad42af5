"""`by="spread"`: examples that lie far apart, so that the corners of the data are among them.

Greedy k-center (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985): the
example nearest the mean first, then again and again the one farthest from all that are chosen. Its
outliers are what one wants to see here; for a fair sample choose at random.

Invariant: the same on every machine: distances are between whole numbers, so nothing is rounded.
Cost: at most `POOL` examples are read, drawn by the seed where there are more.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from labbook.client.dataset import is_array, is_tensor
from labbook.client.thumbnails import as_image
from labbook.errors import MisuseError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["POOL", "View", "farthest_first", "features", "view"]

POOL: Final = 2000
"""No more examples are read, nor chosen."""

_MOST: Final = 256  # numbers that stand for one example
_GRID: Final = 8  # a picture is looked at in so many rows and columns


def farthest_first(points: NDArray[Any], n: int) -> list[int]:
    """Choose `n` rows of `points`, whole numbers (rows, features); in the order of choice."""
    import numpy as np

    points = points.astype(np.int64)
    centred = len(points) * points - points.sum(0)
    first = int(np.argmin((centred**2).sum(1)))
    chosen = [first]
    nearest = ((points - points[first]) ** 2).sum(1)
    nearest[first] = -1
    while len(chosen) < min(n, len(points)):
        at = int(np.argmax(nearest))  # of equals the first
        chosen.append(at)
        nearest = np.minimum(nearest, ((points - points[at]) ** 2).sum(1))
        nearest[at] = -1
    return chosen


@dataclass(frozen=True)
class View:
    """The little of one example that distances are measured by: the rest need not be kept."""

    kind: Literal["words", "picture", "numbers"]
    values: NDArray[Any]
    size: int
    """Of the whole input."""
    words: NDArray[Any] | None = None
    """Of whole numbers also their counts as tokens."""


def view(value: Any) -> View:
    """Look at one input; raises `MisuseError` for what is no numbers, picture or text."""
    import numpy as np

    if isinstance(value, str):
        words = re.findall(r"\w+", value.lower())
        return View("words", _counts(words), len(words))
    if is_tensor(value) or is_array(value) or hasattr(value, "convert"):
        picture = as_image(value)
        if picture is not None:
            rows, columns = (_places(length, _GRID) for length in picture.shape[:2])
            return View("picture", picture[rows][:, columns], picture.shape[2])
    try:
        array = np.asarray(_on_host(value)).reshape(-1)
    except (ValueError, TypeError):
        array = np.empty(0)
    if array.dtype.kind not in "fiub" or not array.size:
        raise MisuseError(
            f'choose(by="spread") cannot tell how far one {type(value).__name__} is from another; '
            "choose(show=…) may make numbers, a picture or text of an example"
        )
    tokens = _counts(map(str, array.tolist())) if array.dtype.kind in "iu" else None
    return View("numbers", array[_places(array.size, min(_MOST, array.size))], array.size, tokens)


def features(views: list[View]) -> NDArray[Any]:
    """Return whole numbers from 0 to 255, (examples, features).

    Pictures: an 8 × 8 grid of their pixels. Numbers: up to 256 of them, each on its own scale.
    Texts and tokens of unequal length: counts of hashed words. Raises `MisuseError` for a mixture.
    """
    import numpy as np

    if len({each.kind for each in views}) > 1:
        raise MisuseError('choose(by="spread") needs inputs of one kind: choose(show=…) makes them')
    sizes = {each.size for each in views}
    tokens = [each.words for each in views if each.words is not None]
    if views[0].kind == "picture":
        # where some are grey and some are not, the first channel speaks for all
        one = 1 if len(sizes) > 1 else None
        return _levels(np.stack([v.values[:, :, :one].reshape(-1) for v in views]), axis=None)
    if views[0].kind == "words":
        return np.stack([each.values for each in views])
    if len(sizes) > 1 and len(tokens) == len(views):
        return np.stack(tokens)
    size = min(_MOST, max(sizes))
    values = [each.values[_places(len(each.values), size)] for each in views]
    return _levels(np.stack(values), axis=0)


def _counts(words: Iterable[str]) -> NDArray[Any]:
    import numpy as np

    counts = np.zeros(_MOST, np.int64)
    for word in words:
        counts[zlib.crc32(word.encode()) % _MOST] += 1
    return np.minimum(counts, 255)


def _places(length: int, n: int) -> NDArray[Any]:
    """`n` places spread over `range(length)`: in the middles of n equal stretches."""
    import numpy as np

    return (2 * np.arange(n) + 1) * length // (2 * n)


def _levels(values: NDArray[Any], axis: int | None) -> NDArray[Any]:
    """256 levels between the least and the greatest; what is not finite is level 0."""
    import numpy as np

    values = values.astype(np.float64)
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis, keepdims=True)
    high = np.where(known, values, -np.inf).max(axis, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    with np.errstate(invalid="ignore"):
        levels = np.rint(np.where(known, (values - low) / span, 0.0) * 255)
    whole: NDArray[Any] = levels.astype(np.int64)
    return whole


def _on_host(value: Any) -> Any:
    if not is_tensor(value):
        return value
    value = value.detach().to("cpu")
    return (value.float() if value.is_floating_point() else value).numpy()
