"""Values as strict JSON. Standard library only."""

from __future__ import annotations

import datetime
import math
from typing import Any

__all__ = ["strict"]


def strict(value: Any) -> Any:
    """Return `value` as what strict JSON can hold.

    NaN and the infinities become the strings "NaN", "Infinity", "-Infinity", as in protobuf's JSON
    mapping (https://protobuf.dev/programming-guides/json/); times become ISO 8601, bytes hex.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value if value is None or isinstance(value, bool | int | float) else str(value)
