"""A net as it is defined: its modules, parameters and buffers, as JSON with a digest.

Two nets have one digest when their modules have the same names and types, and their parameters and
buffers the same names, shapes, number types and `requires_grad`. Where they lie is recorded beside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from labbook.client.tensor_stats import is_lazy

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

__all__ = ["describe", "optimizer_fact"]

ABOUT: Final = 200
"""Characters of a module's own words (`extra_repr`) that are kept."""

MODULES: Final = 20_000


def describe(root: nn.Module) -> dict[str, Any]:
    """Return the tree of `root`: the modules in their order, each with what it holds itself.

    `parameters`, `trainable` and `bytes` count each shared tensor once, and are null while a lazy
    parameter has no shape. A tensor that is shared names its first place under `same_as`.
    """
    first: dict[int, str] = {}
    # a compiled part counts as the part itself
    listed = [
        (name.replace("_orig_mod.", "").removesuffix("._orig_mod"), module)
        for name, module in root.named_modules()
        if getattr(module, "_orig_mod", None) is None
    ]
    modules = [_module(name, module, first) for name, module in listed[:MODULES]]
    own = [tensor for module in modules for tensor in module["parameters"]]
    own = [tensor for tensor in own if "same_as" not in tensor]
    return {
        "type": _type(root),
        "digest": _digest(modules),
        "parameters": _sum(own, "elements"),
        "trainable": _sum([tensor for tensor in own if tensor["requires_grad"]], "elements"),
        "bytes": _sum(own, "bytes"),
        "n_modules": len(listed),
        "modules": modules,
    }


def _module(name: str, module: nn.Module, first: dict[int, str]) -> dict[str, Any]:
    inside = f"{name}." if name else ""

    def held(tensors: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = []
        for key, tensor in tensors.items():
            if tensor is not None:
                place = f"{inside}{key}"
                before = first.setdefault(id(tensor), place)
                shared = {} if before == place else {"same_as": before}
                found.append(_tensor(key, tensor) | shared)
        return found

    return {
        "name": name,
        "type": _type(module),
        "about": _about(module),
        "parameters": held(module._parameters),
        "buffers": held(module._buffers),
    }


def _tensor(name: str, tensor: Any) -> dict[str, Any]:
    lazy = is_lazy(tensor)
    return {
        "name": name,
        "shape": None if lazy else list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "device": str(tensor.device),
        "requires_grad": bool(tensor.requires_grad),
        "elements": None if lazy else tensor.numel(),
        "bytes": None if lazy else tensor.numel() * tensor.element_size(),
    }


def _about(module: nn.Module) -> str:
    try:
        text = str(module.extra_repr())
    except Exception:  # the border to the user's own class: a net that cannot say it still trains
        return ""
    return " ".join(text.split())[:ABOUT]


def _type(module: object) -> str:
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}"


def _sum(tensors: Iterable[dict[str, Any]], what: str) -> int | None:
    counts = [tensor[what] for tensor in tensors]
    return None if None in counts else sum(counts)


def _digest(modules: Iterable[dict[str, Any]]) -> str:
    kept = ("name", "shape", "dtype", "requires_grad", "same_as")
    plain = [
        [m["name"], m["type"], m["about"]]
        + [[[t.get(k) for k in kept] for t in m[held]] for held in ("parameters", "buffers")]
        for m in modules
    ]
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def optimizer_fact(optimizer: Optimizer, names: dict[int, str]) -> dict[str, Any]:
    """Return what an optimizer is: its type, and of each group the numbers and whose they are.

    `names` maps `id(parameter)` to its name in the net.
    """
    groups = [
        {
            "settings": {
                k: _plain(v) for k, v in group.items() if k not in ("params", "initial_lr")
            },
            "n_tensors": len(group["params"]),
            "n_foreign": sum(id(p) not in names for p in group["params"]),
        }
        for group in optimizer.param_groups
    ]
    return {"type": _type(optimizer), "groups": groups}


def _plain(value: Any) -> Any:
    """A setting as JSON; a tensor on a device is not waited for."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Sequence):
        return [_plain(each) for each in value]
    if hasattr(value, "item") and getattr(value, "device", None) is not None:
        return float(value) if value.device.type == "cpu" and value.numel() == 1 else "on device"
    return type(value).__name__
