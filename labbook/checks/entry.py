"""What the first layer with weights is given: what the model does to its inputs before is its own.

A model that standardizes, casts or embeds first is none the worse for raw inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Entry", "entry", "has_weights"]


@dataclass(frozen=True)
class Entry:
    """The first layer with weights in the order of the forward pass, and its input.

    `name` and `kind` are empty, and `given` is None, where no layer was seen.
    """

    name: str = ""
    kind: str = ""
    given: Tensor | None = None

    @property
    def is_norm(self) -> bool:
        """Whether that layer standardizes what it gets."""
        return "Norm" in self.kind

    @property
    def is_embedding(self) -> bool:
        """Whether that layer looks integers up."""
        return "Embedding" in self.kind


def entry(bench: Bench) -> Entry:
    """Of the model's copy on the first batch; `bench.shared` it."""
    import torch

    found: list[Entry] = []
    model = bench.model()
    handles = [
        module.register_forward_pre_hook(_seeing(name, module, found), with_kwargs=True)
        for name, module in model.named_modules()
        if has_weights(module)
    ]
    try:
        with torch.no_grad():
            bench.forward(model, bench.batch)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else Entry()


def has_weights(module: nn.Module) -> bool:
    """Itself, not by its parts; a norm without weights standardizes all the same."""
    own = [p for p in module._parameters.values() if p is not None]
    is_norm = "Norm" in type(module).__name__ and not list(module.children())
    from torch import nn

    is_leaf = not list(module.children()) or isinstance(module, (nn.RNNBase, nn.MultiheadAttention))
    return is_norm or (bool(own) and is_leaf)


def _seeing(name: str, module: nn.Module, found: list[Entry]) -> Any:
    def hook(_: Any, args: Any, kwargs: Any) -> None:
        if found:
            return
        tensor = next(leaves((args, kwargs)), None)
        given = None if tensor is None else tensor.detach().cpu().clone()
        found.append(Entry(name, type(module).__name__, given))

    return hook
