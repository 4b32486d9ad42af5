"""What tells whether weights, buffers, rows and random generators are what they were.

A tensor's print is the sum of its bit patterns as integers: one pass over its memory, on its
device, and a change of any single element changes it. Version counters are no help here: torch does
not keep them in inference mode.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from labbook.watch.rows import Rows

__all__ = ["Prints", "changed", "generators", "modules_of", "prints", "rows_print"]

Prints = dict[str, int]

_WIDTHS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def prints(held: Any) -> Prints:
    """Parameters and buffers of a model (those that are never saved too), or of a state dict."""
    sums: dict[str, torch.Tensor] = {}
    for name, tensor in _tensors(held):
        try:
            sums[name] = _sum(tensor.detach())
        except (RuntimeError, NotImplementedError, TypeError):
            continue  # sparse, sharded or quantised in a way that has no plain memory
    # one wait for each device, not one for each tensor
    devices: dict[torch.device, list[str]] = {}
    for name, each in sums.items():
        devices.setdefault(each.device, []).append(name)
    found: Prints = {}
    for names in devices.values():
        values = torch.stack([sums[name] for name in names]).tolist()
        found.update(zip(names, values, strict=True))
    return found


def changed(before: Prints, after: Prints) -> list[str]:
    """Names whose content is not what it was, those that came or went included."""
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]


def rows_print(rows: Rows) -> str | None:
    """Digest of all columns; None unless one has numbers fine enough to tell models apart."""
    is_fine = False
    whole = hashlib.blake2b(rows.ids.tobytes())
    for name, values in sorted(rows.columns.items()):
        whole.update(str(name).encode())
        if isinstance(values, list):
            whole.update("\0".join(values).encode())
            continue
        numbers = np.ma.getdata(values)
        whole.update(np.ascontiguousarray(numbers).tobytes())
        if numbers.dtype.kind == "f":
            flat = numbers[np.isfinite(numbers)]
            is_fine = is_fine or len(np.unique(flat[flat != np.rint(flat)])) > 1
    return whole.hexdigest() if is_fine else None


def generators(device: torch.device) -> dict[str, bytes]:
    """States of the generators that an evaluation's code may draw from."""
    states = {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "random": repr(random.getstate()).encode(),
    }
    if device.type == "cuda":
        states[f"torch.{device.type}"] = torch.cuda.get_rng_state(device).numpy().tobytes()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        state = numpy_random.get_state()
        states["numpy"] = state[1].tobytes() + repr(state[2:]).encode()
    return states


def modules_of(user: Any, model: Any) -> dict[str, torch.nn.Module]:
    """The model under "", and modules that the evaluation holds itself, by attribute."""
    found: dict[str, torch.nn.Module] = {}
    if isinstance(model, torch.nn.Module):
        found[""] = model
    known = {id(module) for module in model.modules()} if found else set()
    for name, value in vars(user).items() if hasattr(user, "__dict__") else ():
        if isinstance(value, torch.nn.Module) and id(value) not in known:
            found[f"self.{name}"] = value
            known |= {id(module) for module in value.modules()}
    return found


def _tensors(held: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(held, torch.nn.Module):
        yield from held.named_parameters()
        yield from held.named_buffers()
    elif isinstance(held, Mapping):
        for name, value in held.items():
            if isinstance(value, torch.Tensor):
                yield str(name), value


def _sum(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    width = _WIDTHS[tensor.element_size()]
    bits = tensor if tensor.dtype in {torch.bool, torch.uint8} else tensor.contiguous().view(width)
    return bits.sum(dtype=torch.int64)
