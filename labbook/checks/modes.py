"""Which modules do something else in eval mode: norms with statistics, dropout, the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labbook.checks.place import is_users

if TYPE_CHECKING:
    from torch import nn

__all__ = ["has_mode", "mode_modules"]


def has_mode(module: Any) -> bool:
    """Whether a module's own forward pass depends on `module.training`.

    Dropout with p > 0, norms that track statistics, recurrent nets and attention with dropout, and
    classes of the user's with a method that reads `training`.
    """
    import torch

    kind = type(module).__name__
    if hasattr(module, "running_mean"):
        return module.running_mean is not None
    if "Dropout" in kind:
        return _rate(module, "p") > 0
    if isinstance(module, torch.nn.RNNBase):
        return module.dropout > 0 and module.num_layers > 1
    if isinstance(module, (torch.nn.MultiheadAttention, torch.nn.RReLU)):
        return not isinstance(module, torch.nn.MultiheadAttention) or module.dropout > 0
    if kind in {"DropPath", "StochasticDepth"}:
        return max(_rate(module, "drop_prob"), _rate(module, "p")) > 0
    return _reads_training(type(module))


def mode_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Those of a model, by name (the class's name for the model itself)."""
    return {name or type(m).__name__: m for name, m in model.named_modules() if has_mode(m)}


def _rate(module: Any, name: str) -> float:
    value = getattr(module, name, 0.0)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _reads_training(kind: type) -> bool:
    codes = [getattr(part, "__code__", None) for own in kind.__mro__ for part in vars(own).values()]
    return any(c and "training" in c.co_names and is_users(c.co_filename) for c in codes)
