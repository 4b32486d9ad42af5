"""Which torch functions some code calls, with what, and from which line of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from labbook.checks.place import caller

__all__ = ["Call", "torch_calls"]


@dataclass(frozen=True)
class Call:
    """One call: the function's name (`cross_entropy`, `clamp`), its arguments, result and line.

    A property has its own name (`T`, `data`). `error` is what the call raised: its result is None.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    where: str
    error: BaseException | None = None
    function: Callable[..., Any] = field(default=lambda: None, repr=False)

    def given(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, by position or by name."""
        if len(self.args) > position:
            return self.args[position]
        return self.kwargs.get(name, default)


@contextmanager
def torch_calls(into: list[Call]) -> Iterator[None]:
    """Append every torch function called meanwhile, methods of tensors included."""
    from torch.overrides import TorchFunctionMode

    class Listening(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            where = caller(2)
            given = kwargs or {}
            name = _name(func)
            try:
                result = func(*args, **given)
            except Exception as error:  # the user's to see; here only what led to it
                into.append(Call(name, args, given, None, where, error, func))
                raise
            into.append(Call(name, args, given, result, where, None, func))
            return result

    with Listening():
        yield


def _name(func: Any) -> str:
    name = getattr(func, "__name__", str(func))
    if name == "__get__":  # a property: `x.T` is Tensor.T.__get__
        return getattr(getattr(func, "__self__", None), "__name__", name)
    return str(name)
