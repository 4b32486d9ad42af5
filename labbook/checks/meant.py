"""Parts of a model that are kept fixed on purpose: adapters' bases, teachers, slow copies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["beside_adapters", "following"]

_ADAPTER = re.compile(r"lora|adapter|dora|delta", re.IGNORECASE)
_TEACHER = re.compile(
    r"teacher|target|ema|momentum|encoder_k|key_encoder|reference|slow|averaged|shadow|perceptual|vgg|lpips|prior",
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

    A copy: a child with the same parameters, by name and value, as an earlier one of its parent.
    """
    found: set[str] = set()
    for prefix, module in model.named_modules():
        earlier: list[dict[str, Tensor]] = []
        for name, child in module.named_children():
            own = dict(child.named_parameters())
            path = f"{prefix}.{name}".lstrip(".")
            if own and (_TEACHER.search(name) or any(_are_equal(own, e) for e in earlier)):
                found |= {f"{path}.{n}" for n in own}
            earlier.append(own)
    return found


def _are_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    import torch

    return one.keys() == other.keys() and all(
        p is not other[n] and torch.equal(p, other[n]) and bool((p != p.reshape(-1)[:1]).any())
        for n, p in one.items()
        if p.numel() > 1 and not n.endswith("bias")
    )
