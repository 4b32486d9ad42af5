"""The random generators: digests of their states at start, and one call that seeds them all.

A generator whose library the program has not imported is left out, and named as such: importing
torch to seed it would cost seconds and prove nothing.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from typing import Any

from labbook.errors import MisuseError

__all__ = ["seed", "states"]

_LARGEST = 2**63


def states() -> dict[str, Any]:
    """Return digests of the generators' states, and `PYTHONHASHSEED`; draws no number."""
    found: dict[str, Any] = {
        "python": _digest(repr(random.getstate()).encode()),
        "hash": os.environ.get("PYTHONHASHSEED"),
    }
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        found["numpy"] = _digest(_numpy_state(numpy_random))
    torch = _torch()
    if torch is not None:
        found["torch"] = _digest(_bytes(torch.get_rng_state()))
        found["torch_initial_seed"] = torch.initial_seed()
        # asking an uninitialised CUDA for its state would initialise it
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["cuda"] = [_digest(_bytes(state)) for state in torch.cuda.get_rng_state_all()]
    return found


def seed(n: int, deterministic: bool = False) -> dict[str, Any]:
    """Seed Python, numpy and torch (every device) with `n`; return what was seeded and set.

    Libraries that are not imported yet are listed under `not_imported`: call it after the imports.
    `deterministic=True` also sets torch's deterministic switches (slower, and an operation that
    has no deterministic form raises), see https://pytorch.org/docs/stable/notes/randomness.html.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < _LARGEST:
        raise MisuseError(f"seed must be an integer from 0 to 2**63 - 1, got {n!r}")
    random.seed(n)
    result: dict[str, Any] = {"seed": n, "seeded": ["python"], "not_imported": []}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(n % 2**32)  # numpy's legacy generator takes 32 bits
        result["seeded"].append("numpy")
    else:
        result["not_imported"].append("numpy")
    torch = _torch()
    if torch is not None:
        torch.manual_seed(n)
        result["seeded"].append("torch")
    else:
        result["not_imported"].append("torch")
    if deterministic:
        result["deterministic"] = _deterministic(torch)
    return result


def _deterministic(torch: Any | None) -> dict[str, Any]:
    # cuBLAS reads its setting when a handle is made; the user's own choice stays
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    switched: dict[str, Any] = {"CUBLAS_WORKSPACE_CONFIG": os.environ["CUBLAS_WORKSPACE_CONFIG"]}
    if torch is not None:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        switched |= {
            "use_deterministic_algorithms": True,
            "cudnn.benchmark": False,
            "cudnn.deterministic": True,
        }
    return switched


def _torch() -> Any | None:
    """Return torch when it has been imported to the end (a circular import may be half-way)."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "get_rng_state") and hasattr(torch, "cuda") else None


def _numpy_state(numpy_random: Any) -> bytes:
    """Name, 624 words, position and the Gauss cache of numpy's global Mersenne Twister."""
    name, keys, position, has_gauss, cached = numpy_random.get_state()
    return bytes(keys.tobytes()) + repr((name, position, has_gauss, cached)).encode()


def _bytes(state: Any) -> bytes:
    """Bytes of a CPU ByteTensor `(n,)`, also where torch was built without numpy."""
    import ctypes

    data: bytes = ctypes.string_at(int(state.data_ptr()), int(state.numel()))
    return data


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
