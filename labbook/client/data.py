"""`run.data(name, source)`: a fingerprint of what is trained on, so that two runs can be compared.

Invariants: reading moves no random generator, takes no example away from the program, and ends
soon after its time. Equal data gives equal digests on every machine: how much of it counts (all,
or a sample) depends on its size alone, and a digest that time did not suffice for is null.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

from labbook.client.dataset import is_array, is_tensor, read_examples, source_of
from labbook.client.digest import example_digest, set_digest
from labbook.client.files import fingerprint_path
from labbook.client.selection import draw
from labbook.conditions.limits import Deadline
from labbook.errors import MisuseError

__all__ = ["SECONDS", "fingerprint"]

SECONDS: Final = 2.0

N_SAMPLED: Final = 64
"""Examples whose content counts; which ones is decided by the number of all alone."""

_CHUNK: Final = 1 << 20

WHOLE_BYTES: Final = 256 << 20
"""Tensors and arrays in memory are digested whole up to here: half a second of SHA-256."""


def fingerprint(name: str, source: Any, seconds: float = SECONDS) -> dict[str, Any]:
    """Return what tells `source` from other data, as JSON.

    A path, or a list of paths, gives sizes, times and digests of files; anything with a length and
    `[i]` (or columns of tensors, arrays or lists) its length and the digest of a sample.

    Raises `MisuseError` for a wrong name or source. What cannot be read is a `reason`.
    """
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise MisuseError(f"run.data(name, source): the name must be printable text, got {name!r}")
    deadline = Deadline(seconds)
    paths = _paths(source)
    if paths is not None:
        return fingerprint_path(paths, deadline)
    return _of_dataset(name, source, deadline)


def _paths(source: Any) -> list[str] | None:
    """The paths that a source names; None when it is data itself."""
    given = source if isinstance(source, list | tuple) else [source]
    if not given or not all(isinstance(each, str | os.PathLike) for each in given):
        return None
    paths = [os.path.expanduser(os.fsdecode(each)) for each in given]
    if given is source and not any(map(os.path.lexists, paths)):
        return None  # texts
    for path in paths:
        if not os.path.lexists(path):
            raise MisuseError(
                f"run.data(): there is no file or folder {path!r} in {os.getcwd()}; pass a path "
                "that exists, or the dataset itself"
            )
    return paths


def _of_dataset(name: str, source: Any, deadline: Deadline) -> dict[str, Any]:
    source = _without_loader(source)
    found: dict[str, Any] = {"kind": "dataset", "type": _type_name(source), "digest": None}
    own = getattr(source, "_fingerprint", None)  # Hugging Face datasets know theirs
    if isinstance(own, str):
        found["fingerprint"] = own
    choice = getattr(source, "fingerprint_of_choice", None)  # of labbook.mini
    if callable(choice):
        found |= choice()
    length = _length(source)
    if length is None:
        if not hasattr(source, "__iter__"):
            raise MisuseError(
                f"run.data({name!r}, …) wants a dataset, an array or a path, "
                f"got a {_type_name(source)}"
            )
        why = "it can only be iterated, which could use it up: name the files it reads instead"
        return {**found, "length": None, "reason": why}
    found |= {"length": length, "scope": "sample"}
    columns = list(_columns(source))
    if columns and sum(_bytes_of(column) for column in columns) <= WHOLE_BYTES:
        return found | {"scope": "all"} | _whole(columns, deadline)
    return found | _sample(name, source, length, deadline)


def _sample(name: str, source: Any, length: int, deadline: Deadline) -> dict[str, Any]:
    """Digest a sample, example by example while there is time."""
    indices = draw(length, N_SAMPLED, 0)
    digests: list[bytes | None] = []
    reason = None
    for index in indices:
        if deadline.passed():
            reason = f"out of time after {len(digests)} of {len(indices)} examples"
            break
        try:
            examples = read_examples(source_of(source), [index], 1, 0)
        except MisuseError as error:
            text = str(error).replace("choose()", f"run.data({name!r}, …)")
            raise MisuseError(text) from error
        except Exception as error:  # an outer border: the user's dataset may raise anything
            reason = f"example {index} cannot be read: {type(error).__name__}: {error}"
            break
        digests.append(example_digest(examples.items[0]))
    if reason is None and None in digests:
        reason = "its examples are objects whose content is not known"
    is_complete = reason is None and bool(indices)
    # of a sample that was broken off, the examples read can still be compared one by one
    found: dict[str, Any] = {
        "digest": set_digest(digests) if is_complete else None,
        "sample": [each.hex()[:16] if each else None for each in digests],
    }
    return found if reason is None else {**found, "reason": reason}


def _whole(columns: list[Any], deadline: Deadline) -> dict[str, Any]:
    """Digest every example of tensors and arrays in memory."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(f"{column.dtype} {tuple(column.shape)}\n".encode())
        rows = max(1, len(column) * _CHUNK // max(1, _bytes_of(column)))
        for at in range(0, len(column), rows):
            if deadline.passed():
                return {"reason": "out of time"}
            part = example_digest(column[at : at + rows])
            if part is None:
                return {"reason": "its examples are objects whose content is not known"}
            digest.update(part)
    return {"digest": f"sha256:{digest.hexdigest()}"}


def _columns(source: Any) -> Iterator[Any]:
    """The tensors and arrays that hold a whole dataset; none when something else does."""
    held = getattr(source, "tensors", source)  # torch's TensorDataset
    if isinstance(held, dict):
        held = tuple(held.values())
    parts = held if isinstance(held, tuple) else (held,)
    on_host = [p for p in parts if (is_tensor(p) and p.device.type == "cpu") or is_array(p)]
    if len(on_host) == len(parts) and all(part.ndim for part in on_host):
        yield from on_host


def _bytes_of(column: Any) -> int:
    return int(column.nbytes)


def _without_loader(source: Any) -> Any:
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is not None and isinstance(source, torch_data.DataLoader):
        return source.dataset
    return source


def _length(source: Any) -> int | None:
    """The number of examples of what can be read by index; None for anything else."""
    if isinstance(source, bytes | bytearray):
        return None
    columns = list(_columns(source))
    if columns:
        return len(columns[0])
    values = list(source.values()) if isinstance(source, dict) else None
    try:
        return len(values[0]) if values else len(source)
    except (TypeError, NotImplementedError):
        return None


def _type_name(source: Any) -> str:
    kind = type(source)
    return f"{kind.__module__}.{kind.__qualname__}"
