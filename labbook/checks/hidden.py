"""Parameters that a module holds where torch does not look: in lists, dicts, objects, closures."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from labbook.checks.place import is_users

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["hidden"]

_DEPTH = 3


def hidden(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Trainable leaves below some module that `model.parameters()` does not give, with a path."""
    known = {id(p) for p in model.parameters()}
    found: dict[int, tuple[str, Tensor]] = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if key.startswith("_") and key in _TORCHS:
                continue
            for path, tensor in _tensors(value, f"{name}.{key}".lstrip("."), _DEPTH):
                if tensor.is_leaf and tensor.requires_grad and id(tensor) not in known:
                    found.setdefault(id(tensor), (path, tensor))
    return list(found.values())


_TORCHS = {
    "_parameters", "_buffers", "_modules", "_backward_hooks", "_forward_hooks", "_flat_weights",
    "_backward_pre_hooks", "_forward_pre_hooks", "_state_dict_hooks", "_load_state_dict_pre_hooks",
    "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs", "_flat_weight_refs",
    "_forward_hooks_always_called", "_state_dict_pre_hooks", "_load_state_dict_post_hooks",
}  # fmt: skip


def _tensors(value: Any, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, torch.nn.Module):
        yield from ((f"{path}.{name}", p) for name, p in value.named_parameters())
    elif depth > 0 and isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{path}[{key!r}]", depth - 1)
    elif depth > 0 and isinstance(value, (list, tuple, set)) and len(value) < 1000:
        for n, part in enumerate(value):
            yield from _tensors(part, f"{path}[{n}]", depth - 1)
    elif depth > 0 and isinstance(value, FunctionType):
        for cell in value.__closure__ or () if is_users(value.__code__.co_filename) else ():
            try:
                yield from _tensors(cell.cell_contents, f"{path}()", depth - 1)
            except ValueError:  # not filled yet
                continue
    elif depth > 0 and _is_plain_object(value):
        for key, part in vars(value).items():
            yield from _tensors(part, f"{path}.{key}", depth - 1)


def _is_plain_object(value: Any) -> bool:
    """Whether it is an instance of a class of the user's own."""
    if isinstance(value, (type, ModuleType)) or not hasattr(value, "__dict__"):
        return False
    module = sys.modules.get(type(value).__module__)
    return is_users(getattr(module, "__file__", None) or "<unknown>")
