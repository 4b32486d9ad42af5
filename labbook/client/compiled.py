"""Whether `torch.compile` runs a net: hooks inside are not called, and may make it compile anew."""

from __future__ import annotations

import gc
import sys
from typing import Any

__all__ = ["has_compiled", "is_compiled", "is_compiled_elsewhere"]


def is_compiled(module: Any) -> bool:
    """Whether `torch.compile` runs this module: hooks inside are not called, or traced."""
    return (
        getattr(module, "_orig_mod", None) is not None
        or getattr(module, "_compiled_call_impl", None) is not None
    )


def is_compiled_elsewhere(module: Any) -> bool:
    """Whether `torch.compile(module)` was called: the module does not know it, its product does.

    Takes some 50 ms where torch's compiler is loaded.
    """
    return "torch._dynamo" in sys.modules and any(
        type(each) is dict and each.get("_orig_mod") is module for each in gc.get_referrers(module)
    )


def has_compiled() -> bool:
    """Whether anything was compiled in this process; the compiler is loaded by any optimizer."""
    utils = sys.modules.get("torch._dynamo.utils")
    return utils is not None and sum(utils.counters["frames"].values()) > 0
