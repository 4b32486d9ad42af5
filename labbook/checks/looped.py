"""The user's own loop up to its first backward pass, as the chain of torch functions it calls.

A loop may do more with a loss than `loss=` says. What is seen here is what is really descended:
the root is the tensor that `backward()` was called on, with its graph whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from labbook.checks.bench import Bench, UserError
from labbook.checks.rule import Cannot
from labbook.checks.torch_calls import torch_calls
from labbook.checks.traced import Trace, traced

__all__ = ["looped", "rooted", "traces"]

_MAX_FORWARDS = 50


class _Stop(BaseException):
    """Ends the loop; not an Exception, so that few catch it."""


def traces(bench: Bench) -> list[Trace]:
    """What `loss=` does and what the loop does, as far as each can be seen.

    Raises `Cannot` where neither can.
    """
    found: list[Trace] = []
    first: Cannot | None = None
    for measure in (traced, looped):
        try:
            found.append(bench.shared(measure))
        except Cannot as why:
            first = first or why
    if not found and first is not None:
        raise first
    return found


def rooted(bench: Bench) -> Trace | None:
    """The loop up to backward(), where it gets there with one number; else None."""
    try:
        seen = bench.shared(looped)
    except Cannot:
        return None
    return seen if seen.loss is not None and seen.error is None else None


def looped(bench: Bench) -> Trace:
    """The loop's first step, up to `backward()`, on a copy; `bench.shared` it.

    `loss` is the root, `error` what the loop raised in one of torch's loss functions. The trace's
    batch is the loader's first, not the loop's. Raises `Cannot` without `train=` and `optimizer=`.
    """
    train = bench.subject.train
    if train is None:
        raise Cannot("no train= given")
    model = bench.model()
    optimizer = bench.optimizer(model)
    seen = Trace(model, bench.batch)
    roots: list[Any] = []
    with ExitStack() as after:
        after.enter_context(_stopped_at_backward(roots))
        after.callback(model.register_forward_hook(_noting(bench, seen)).remove)
        after.enter_context(torch_calls(seen.calls))
        try:
            train(model, optimizer, 1)
        except _Stop:
            pass
        except Cannot:
            raise
        except Exception as error:  # whatever the user's loop raises
            seen.error = UserError("train()", error)
    if seen.error is not None and not any(call.error for call in seen.known()):
        raise seen.error
    if not roots and seen.error is None:
        raise Cannot("train() never called backward()")
    seen.value = roots[0] if roots else None
    if roots and roots[0].numel() == 1:
        seen.loss = roots[0].reshape(())
    seen.index()
    return seen


def _noting(bench: Bench, seen: Trace) -> Callable[[Any, Any, Any], None]:
    """A forward hook: what follows the last forward pass is the loss's."""
    count = 0

    def note(module: Any, args: Any, output: Any) -> None:
        nonlocal count
        count += 1
        seen.output, seen.n_model = output, len(seen.calls)
        if count > _MAX_FORWARDS or bench.seconds_left < 0:
            raise _Stop

    return note


@contextmanager
def _stopped_at_backward(roots: list[Any]) -> Iterator[None]:
    import torch

    original = torch.Tensor.backward

    def backward(self: Any, *args: Any, **kwargs: Any) -> Any:
        roots.append(self)
        raise _Stop

    torch.Tensor.backward = backward  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.backward = original  # type: ignore[method-assign]
