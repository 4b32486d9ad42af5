"""Digests of examples: two runs that followed the same examples can be known to have done so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from labbook.client.dataset import is_array, is_tensor

__all__ = ["example_digest", "set_digest"]


def example_digest(example: Any) -> bytes | None:
    """SHA-256 of an example's content; None when it holds an object whose content is unknown.

    Type, shape and bytes count, so a float32 and a float64 copy differ.
    """
    digest = hashlib.sha256()
    return digest.digest() if _feed(digest.update, example) else None


def set_digest(digests: list[bytes | None]) -> str | None:
    """`sha256:…` of a set: of its examples' digests in order; None when one is unknown."""
    whole = hashlib.sha256()
    for one in digests:
        if one is None:
            return None
        whole.update(one)
    return f"sha256:{whole.hexdigest()}"


def _feed(update: Callable[[bytes], None], value: Any) -> bool:
    """Feed the content of `value`; False when some of it is unknown."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        text = value if isinstance(value, bytes) else repr(value).encode()
        update(f"{type(value).__name__} {len(text)}\n".encode() + text)
        return True
    if isinstance(value, Mapping):
        update(f"mapping {len(value)}\n".encode())
        return all([_feed(update, k) and _feed(update, v) for k, v in value.items()])
    if isinstance(value, (tuple, list)):
        update(f"sequence {len(value)}\n".encode())
        return all([_feed(update, part) for part in value])
    return _feed_array(update, value)


def _feed_array(update: Callable[[bytes], None], value: Any) -> bool:
    if is_tensor(value):
        kind, content = str(value.dtype), _tensor_bytes(value)
    elif is_array(value) and value.dtype != object:
        kind, content = str(value.dtype), value.tobytes()
    elif hasattr(value, "tobytes") and hasattr(value, "mode") and hasattr(value, "size"):
        kind, content = f"{value.mode} {value.size}", value.tobytes()  # a PIL image
    else:
        return False
    shape = tuple(getattr(value, "shape", ()))
    update(f"array {kind} {shape} {len(content)}\n".encode())
    update(content)
    return True


def _tensor_bytes(tensor: Any) -> bytes:
    import torch

    # through uint8: numpy has no bfloat16
    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    content: bytes = flat.view(torch.uint8).numpy().tobytes()
    return content
