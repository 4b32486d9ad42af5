"""Which parameters an autograd graph reaches, and the calls at which it is cut."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.place import OURS, caller
from labbook.checks.rule import Cannot

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Calls", "Cut", "calls_heard", "graph_leaves", "nodes", "pulled"]

_MOST_NODES = 50_000
_MOST_CUTS = 400


def pulled(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], v: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Gradients of ⟨outputs, v⟩ by the inputs; None where there is no way.

    Raises `Cannot` where a backward pass does.
    """
    import torch

    try:
        return torch.autograd.grad(outputs, inputs, v, retain_graph=True, allow_unused=True)
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise Cannot(f"a backward pass raised {type(error).__name__}: {text}") from error


def nodes(tensors: Iterable[Tensor]) -> Iterator[Any]:
    """The autograd nodes above these tensors, each once."""
    seen: set[Any] = set()
    waiting = [t.grad_fn for t in tensors if t.grad_fn is not None]
    while waiting and len(seen) < _MOST_NODES:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [above for above, _ in node.next_functions if above is not None]


def graph_leaves(tensors: Iterable[Tensor]) -> dict[int, Tensor]:
    """The leaves that gradients of these tensors reach, themselves included, by `id`."""
    given = list(tensors)
    found = {id(t): t for t in given if t.is_leaf and t.requires_grad}
    for node in nodes(given):
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found[id(leaf)] = leaf
    return found


@dataclass(frozen=True)
class Cut:
    """A call whose result no longer knows the parameters (`leaves`, by id) that it came from."""

    how: str
    where: str
    leaves: frozenset[int]


_TAKING = {"detach", "detach_", "data", "tensor", "torch.no_grad()", "item", "tolist", "numpy"}


@dataclass
class Calls:
    """What was heard: the cuts in order, and the `id`s of parameters that some call was given."""

    cuts: list[Cut] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    seen: set[tuple[str, str]] = field(default_factory=set)
    is_open: bool = True  # while closed, being given a parameter is no use of it

    def taken(self) -> Cut | None:
        """The first cut through which values of parameters go on without their gradient."""
        return next((cut for cut in self.cuts if cut.leaves and cut.how in _TAKING), None)

    def cut_of(self, parameters: set[int]) -> Cut | None:
        """The first cut between these parameters and what came after."""
        return next((cut for cut in self.cuts if cut.leaves & parameters), None)


@contextmanager
def calls_heard(into: Calls) -> Iterator[None]:
    """Listen to every torch function called meanwhile; keeps no tensor alive."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Listening(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            if sys._getframe(1).f_code.co_filename.startswith(OURS):
                return result  # a hook of ours, not the user's code
            given = list(leaves((args, kwargs)))
            parameters = [t for t in given if isinstance(t, torch.nn.Parameter)]
            if parameters and into.is_open and _is_use(func, parameters, result):
                into.used.update(map(id, parameters))
            if any(t.requires_grad for t in given):
                _hear(into, func, given, result)
            return result

    with Listening():
        yield


def _hear(into: Calls, func: Any, given: list[Tensor], result: Any) -> None:
    import torch

    name = _name(func)
    made = list(leaves(result))
    is_number = name in _NUMBERS
    if name.endswith("_like") or name.startswith("new_"):
        return  # takes the shape alone
    if not is_number and (not made or any(t.requires_grad for t in made)):
        return
    if name in {"grad", "is_leaf", "shape", "zero_", "size", "register_hook"}:
        return
    if _is_in_function():
        return
    where = caller(3)
    how = name if torch.is_grad_enabled() else "torch.no_grad()"
    if (how, where) in into.seen or len(into.cuts) >= _MOST_CUTS:
        return
    into.seen.add((how, where))
    into.cuts.append(Cut(how, where, frozenset(graph_leaves(given))))


def _is_in_function() -> bool:
    """Whether this is inside forward() of an autograd function, where gradients are its own."""
    frame = sys._getframe(3)
    while frame is not None:
        if frame.f_code.co_name == "apply" and frame.f_code.co_filename.endswith(_FUNCTION):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


_FUNCTION = os.path.join("torch", "autograd", "function.py")

_NUMBERS = {"item", "tolist", "numpy", "__float__", "__int__", "__array__"}
"""What turns a tensor into numbers that are none."""

_READ = {"data", "T", "mT", "H", "mH", "real", "imag"}
"""Properties of a tensor that give its values."""


def _is_use(func: Any, parameters: Sequence[Tensor], result: Any) -> bool:
    """Whether values of the parameters go into the result; asking for a shape or grad is not."""
    if getattr(func, "__name__", "") == "__get__":
        return _name(func) in _READ
    if _name(func) in _NUMBERS:
        return True
    own = {id(p) for p in parameters}
    return any(id(t) not in own for t in leaves(result))


def _name(func: Any) -> str:
    name = getattr(func, "__name__", str(func))
    if name == "__get__":  # a property: Tensor.data
        name = getattr(getattr(func, "__self__", None), "__name__", name)
    return str(name)
