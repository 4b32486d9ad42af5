"""Parts of a model that are kept fixed on purpose: adapters' bases, teachers, slow copies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["beside_adapters", "following"]

_ADAPTER = re.compile(r"lora|adapter|dora|delta", re.IGNORECASE)
_TEACHER = re.compile(
    r"teacher|target|ema|momentum|reference|slow|averaged|shadow|perceptual|vgg|lpips|prior",
    re.IGNORECASE,
)


def beside_adapters(model: nn.Module) -> set[str]:
    """Frozen parameters with trainable ones beside them: LoRA, adapters, trained biases."""
    found: set[str] = set()
    modules = dict(model.named_modules())
    for name, p in model.named_parameters():
        if p.requires_grad:
            continue
        owner = name.rpartition(".")[0]
        beside = [q for q in modules[owner]._parameters.values() if q is not None]
        parent = modules[owner.rpartition(".")[0]]
        if parent is not model:
            beside += [q for q in parent._parameters.values() if q is not None]
        near = [n for n, q in parent.named_parameters() if q.requires_grad and _ADAPTER.search(n)]
        if near or any(q.requires_grad for q in beside):
            found.add(name)
    return found


def following(model: nn.Module) -> set[str]:
    """Parameters of teachers, by their name, and of copies of a part beside them.

    A copy: a child with the same parameters, by name and shape, as an earlier one of its parent
    (not a list's), which is another class of use than depth.
    """
    import torch

    found: set[str] = set()
    lists = (torch.nn.ModuleList, torch.nn.Sequential, torch.nn.ModuleDict)
    for prefix, module in model.named_modules():
        shapes: list[dict[str, tuple[int, ...]]] = []
        for name, child in module.named_children():
            own = {n: tuple(p.shape) for n, p in child.named_parameters()}
            path = f"{prefix}.{name}".lstrip(".")
            is_copy = len(own) > 2 and own in shapes and not isinstance(module, lists)
            if own and (is_copy or _TEACHER.search(name)):
                found |= {f"{path}.{n}" for n in own}
            shapes.append(own)
    return found
