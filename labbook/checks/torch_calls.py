"""Which torch functions some code calls, with what, and from which line of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from labbook.checks.place import caller

__all__ = ["Call", "torch_calls"]


@dataclass(frozen=True)
class Call:
    """One call: the function's name (`cross_entropy`, `clamp`), its arguments, result and line."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    where: str


@contextmanager
def torch_calls(into: list[Call]) -> Iterator[None]:
    """Append every torch function called meanwhile, methods of tensors included."""
    from torch.overrides import TorchFunctionMode

    class Listening(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            where = caller(2)
            result = func(*args, **(kwargs or {}))
            name = getattr(func, "__name__", str(func))
            into.append(Call(name, args, kwargs or {}, result, where))
            return result

    with Listening():
        yield
