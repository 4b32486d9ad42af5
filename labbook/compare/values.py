"""Single values: when two are the same, and how one is written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

__all__ = ["Item", "compare_maps", "same", "value_text"]

Kind = Literal["added", "removed", "changed"]

_ABSENT: Any = object()
_BARE = re.compile(r"[^\s\"'\[\]{},]+")


@dataclass(frozen=True)
class Item:
    """One name whose value differs.

    `a` is None where it was added, `b` where it was removed; `a_default` says whether the value is
    the parser's own default, None where that is not known.
    """

    name: str
    kind: Kind
    a: Any
    b: Any
    a_default: bool | None = None
    b_default: bool | None = None

    @property
    def text(self) -> str:
        """`lr 1e-3 → 3e-4`, `+ dropout 0.1`, `- dropout 0.1`."""
        return self._written(value_text)

    @property
    def bare_text(self) -> str:
        """The same with text unquoted, for values that have one type anyway: `torch 2.1 → 2.2`."""
        return self._written(lambda value: value if isinstance(value, str) else value_text(value))

    def _written(self, write: Callable[[Any], str]) -> str:
        if self.kind == "added":
            return f"+ {self.name} {write(self.b)}"
        if self.kind == "removed":
            return f"- {self.name} {write(self.a)}"
        return f"{self.name} {write(self.a)} → {write(self.b)}"


def same(a: Any, b: Any) -> bool:
    """Whether two JSON values are the same: 1 is 1.0, but neither "1" nor true."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return type(a) is type(b) and bool(a == b)


def compare_maps(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Item, ...]:
    """Return the names whose values differ, in the order of `a`, then of `b`."""
    found: list[Item] = []
    for name in {**a, **b}:
        left, right = a.get(name, _ABSENT), b.get(name, _ABSENT)
        if left is _ABSENT:
            found.append(Item(name, "added", None, right))
        elif right is _ABSENT:
            found.append(Item(name, "removed", left, None))
        elif not same(left, right):
            found.append(Item(name, "changed", left, right))
    return tuple(found)


def value_text(value: Any) -> str:
    """Return a value so that its type can be told: text that looks like something else is quoted.

    Numbers are exact, in the shorter of both notations: `1e-3`, `0.1`, `3e-4`.
    """
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, str):
        is_bare = _BARE.fullmatch(value) is not None and not _is_json(value)
        return value if is_bare else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, default=str)


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    plain = repr(value)
    sign, digits, exponent = Decimal(plain).as_tuple()
    whole = "".join(map(str, digits)).rstrip("0")
    if not whole or not isinstance(exponent, int):
        return plain
    power = exponent + len(digits) - 1
    mantissa = whole[0] + ("." + whole[1:] if len(whole) > 1 else "")
    scientific = f"{'-' if sign else ''}{mantissa}e{power}"
    return scientific if len(scientific) < len(plain.removesuffix(".0")) else plain


def _is_json(text: str) -> bool:
    """Whether a bare word would be taken for null, a boolean or a number."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
