"""Callables that are hung into a user's model for a while, and do nothing anywhere else.

Invariant: a hook raises nothing, returns nothing, and is inert in a compiled graph, in a backward
pass, inside an observation, and in a copy: `copy.deepcopy(model)` and `torch.save(model)` meet
hooks too, and what is saved must load without labbook.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import Any

from labbook.client.observe import is_observing

__all__ = ["Hook", "is_training_pass"]


class Hook:
    """Calls `call` with what torch gives it; `fault` gets what that raises."""

    __slots__ = ("_call", "_fault", "_is_compiling")
    __torch_unserializable__ = True

    def __init__(self, call: Callable[..., None], fault: Callable[[BaseException], None]) -> None:
        self._call = call
        self._fault = fault
        self._is_compiling = sys.modules["torch"].compiler.is_compiling

    def __call__(self, *given: Any) -> None:
        """Look, and let pass."""
        # under torch.compile this is a constant, and the hook leaves no trace in the graph
        if self._is_compiling():
            return
        try:
            self._call(*given)
        except Exception as error:  # the border to the training: whatever it is, it goes on
            self._fault(error)

    def __reduce__(self) -> Any:
        return getattr, (contextlib.nullcontext(), "__exit__")


def is_training_pass(thread: int) -> bool:
    """Whether a module called now is called by a training step of this thread."""
    import torch

    in_backward = getattr(torch._C, "_current_graph_task_id", None)
    return (
        torch.is_grad_enabled()
        and threading.get_ident() == thread
        and not is_observing()
        # a checkpointed module is run again by the backward pass
        and (in_backward is None or in_backward() == -1)
        and not torch._C._is_tracing()
        # inside torch.func tensors are not what they seem, and must not get out
        and torch._C._functorch.peek_interpreter_stack() is None
    )
