"""`labbook.mini(dataset)`: a miniature set, chosen once and fixed.

Invariant: which examples it holds follows from the length of the data, `n` and `seed` alone; no
random generator is read or moved, and nothing is read before it is asked for.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator
from typing import Any

from labbook.client.current import active
from labbook.client.dataset import source_of
from labbook.client.selection import draw
from labbook.errors import MisuseError

__all__ = ["Mini", "mini"]


class Mini:
    """Some examples of a dataset, as a map-style dataset; made by `labbook.mini`.

    `indices` are their places in the whole data, ascending; `digest` names the choice: two runs
    with one digest have looked at the same places of equally long data.
    """

    def __init__(self, dataset: Any, indices: list[int], length: int, seed: int) -> None:
        self.dataset = dataset
        self.indices = tuple(indices)
        self.length = length
        self.seed = seed

    @property
    def digest(self) -> str:
        """`sha256:…` of the length of the whole data and the indices."""
        text = f"labbook mini 1:{self.length}:{','.join(map(str, self.indices))}"
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        place = self.indices[operator.index(index)]
        read = source_of(self.dataset).item_at
        return None if read is None else read(place)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def fingerprint_of_choice(self) -> dict[str, Any]:
        """What `run.data` records of it beside the content, as JSON."""
        of = {"of": self.length, "seed": self.seed, "indices": list(self.indices)}
        return {"mini": {"digest": self.digest, **of}}

    def __repr__(self) -> str:
        kind = type(self.dataset).__qualname__
        return f"<labbook.mini: {len(self)} of {self.length} examples of {kind}, seed {self.seed}>"


def mini(dataset: Any, n: int = 256, seed: int = 0, *, name: str = "mini") -> Mini:
    """Choose `n` examples of `dataset`, the same in every run; all of them when it has fewer.

    `dataset`: anything with a length and `[i]`, a DataLoader (its dataset), tensors or arrays, or a
    tuple or mapping of those (columns). The result is a map-style dataset, in the data's own order.
    While a run is recorded, the choice and a fingerprint of its examples become a fact of it, as
    `run.data(name, …)` would record. Raises `MisuseError` for data that can only be iterated.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise MisuseError(f"labbook.mini(n=) takes a number of examples of at least 1, got {n!r}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise MisuseError(f"labbook.mini(seed=) takes a whole number, got {seed!r}")
    try:
        source = source_of(dataset)
    except MisuseError as error:
        raise MisuseError(str(error).replace("choose()", "labbook.mini()")) from error
    if source.item_at is None or not source.length:
        raise MisuseError(
            f"labbook.mini() wants data with a length and [i], and at least one example; "
            f"{source.what} has not: pass the dataset itself, or a list of examples"
        )
    made = Mini(source.data, draw(source.length, n, seed, " mini"), source.length, seed)
    run = active()
    if run is not None:
        run.data(name, made)
    return made
