"""Where the first value that is not finite came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["First", "first_nonfinite"]

_TENSOR = re.compile(r"(?P<module>.*?)(?P<input>\(input\))?(?:#\d+)?")


class First(NamedTuple):
    """The first tensor in the order of execution, and how many of its values are not finite."""

    kind: str
    """`weights`, `input`, `output`, or `gradients` when everything before them is finite."""
    tensor: str
    n_values: int
    text: str


def first_nonfinite(
    parameters: Sequence[str],
    tensors: Sequence[str],
    found: Mapping[str, float],
    *,
    is_scaled: bool = False,
) -> First | None:
    """Name the first non-finite tensor of a sample; None while nothing that trains is affected.

    A mask of minus infinities inside a net is no fault: weights or gradients must be affected, or
    the net's output where no gradients were measured. `is_scaled`: a GradScaler looks after the
    gradients, and an overflow is part of its search.
    """
    weights = _bad(found, "weight_nonfinite", parameters)
    gradients = {} if is_scaled else _bad(found, "gradient_nonfinite", parameters)
    has_gradients = any(f"gradient_nonfinite/{name}" in found for name in parameters)
    output = _bad(found, "activation_nonfinite", tensors[-1:])
    if not (weights or gradients or (output and not has_gradients)):
        return None
    for tensor in tensors:
        match = _TENSOR.fullmatch(tensor)
        module = match["module"] if match and tensor != "(output)" else ""
        own = [name for name in weights if name.rpartition(".")[0] == module]
        if own:
            return _first("weights", own[0], weights[own[0]])
        count = int(found.get(f"activation_nonfinite/{tensor}") or 0)
        if count and tensor == "(input)":
            return First("input", tensor, count, f"in the input of the net: {count} values")
        if count:
            return _first("input" if match and match["input"] else "output", tensor, count)
    kind, bad = ("weights", weights) if weights else ("gradients", gradients)
    name = next(iter(bad), "(output)")
    return _first(kind, name, bad.get(name, 0))


def _bad(found: Mapping[str, float], statistic: str, names: Iterable[str]) -> dict[str, int]:
    return {name: int(n) for name in names if (n := found.get(f"{statistic}/{name}"))}


def _first(kind: str, tensor: str, count: int) -> First:
    words: dict[str, Any] = {
        "weights": f"in the weights {tensor}",
        "gradients": f"in the gradients, of {tensor}, while every output is finite",
        "input": f"in what {tensor.removesuffix('(input)')} was given",
        "output": f"in the output of {tensor}",
    }
    return First(kind, tensor, count, f"{words[kind]}: {count} values")
