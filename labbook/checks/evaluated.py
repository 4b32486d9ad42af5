"""The user's own evaluation, run twice on copies of the trained model, and looked at from outside.

Hooks are functions: an evaluation on a copy of the model (an average of its weights) copies them,
and is seen too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves, mapped
from labbook.checks.bench import Bench
from labbook.checks.digests import row_digests
from labbook.checks.modes import mode_modules
from labbook.checks.place import caller
from labbook.checks.rule import Cannot
from labbook.checks.watched import loop
from labbook.client.undisturbed import seed_all

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Evaluated", "ModelCall", "called", "evaluated", "numbers", "trained"]

KEPT_NUMBERS = 20_000_000
"""Of outputs, that are kept for metrics."""


@dataclass(frozen=True)
class ModelCall:
    """One call of the model in evaluate(): its mode, what it was given, what it returned.

    `live`: modules with a mode of their own that ran in train mode, `used` all of them that ran.
    `rows` are digests of the examples. `output` is None once too much was kept.
    """

    training: bool
    grad_enabled: bool
    used: tuple[str, ...]
    live: tuple[str, ...]
    n: int
    rows: tuple[bytes, ...]
    output: Any
    where: str


@dataclass
class Evaluated:
    """What was seen. `values` are the numbers returned, by name; `again` those of a second
    evaluation of the same model with other random numbers. `rng` names the generators drawn from.
    """

    calls: list[ModelCall] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)
    again: dict[str, float] = field(default_factory=dict)
    calls_again: list[ModelCall] = field(default_factory=list)
    parameters_changed: tuple[str, ...] = ()
    buffers_changed: tuple[str, ...] = ()
    rng: tuple[str, ...] = ()
    is_left_in_eval: bool = False


def trained(bench: Bench) -> nn.Module:
    """A copy of the model as the user's loop left it after some steps, else as it starts."""
    try:
        seen = bench.shared(loop)
    except Cannot:
        return bench.model()
    if seen.error is not None or not all(math.isfinite(v) for v in seen.losses[-1:]):
        return bench.model()
    try:
        model = copy.deepcopy(seen.model)
    except Exception:  # whatever a module's parts raise
        return bench.model()
    return model.train() if seen.stopped else model


def evaluated(bench: Bench) -> Evaluated:
    """Evaluate twice; `bench.shared` it. Raises `Cannot` where evaluate() raises, or is missing."""
    found = Evaluated()
    model = trained(bench).train()  # as in the midst of training
    before = {name: _copied(t) for name, t in _tensors(model)}
    parameters = {name for name, _ in model.named_parameters()}
    seed_all(bench.seed)
    expected = _after_loaders()
    seed_all(bench.seed)
    with _listening(model, found.calls):
        found.values = numbers(bench.evaluate(model))
    found.rng = tuple(
        name for name, state in _states() if all(state != one.get(name) for one in expected)
    )
    found.is_left_in_eval = not model.training
    changed = [name for name, t in _tensors(model) if not _same(t, before.get(name))]
    found.parameters_changed = tuple(n for n in changed if n in parameters)
    found.buffers_changed = tuple(n for n in changed if n not in parameters)
    seed_all(bench.seed + 1)
    second = trained(bench).train()
    with _listening(second, found.calls_again):
        found.again = numbers(bench.evaluate(second))
    return found


def numbers(value: Any) -> dict[str, float]:
    """The numbers in what evaluate() returned: a number, a mapping or a tuple of them."""
    if isinstance(value, Mapping):
        parts = [(str(name), part) for name, part in value.items()]
    elif isinstance(value, (tuple, list)):
        parts = [(str(n), part) for n, part in enumerate(value)]
    else:
        parts = [("", value)]
    found: dict[str, float] = {}
    for name, part in parts:
        if isinstance(part, (str, bytes, bool)) or getattr(part, "ndim", None) or part is None:
            continue
        try:
            found[name] = float(part)
        except (TypeError, ValueError):
            continue
    return found


def called(bench: Bench) -> Evaluated:
    """What evaluate() did. Raises `Cannot` where it did not call the model it was given."""
    seen = bench.shared(evaluated)
    if not seen.calls:
        raise Cannot("evaluate() did not call the model it was given, or a copy of it")
    return seen


@contextmanager
def _listening(model: nn.Module, calls: list[ModelCall]) -> Iterator[None]:
    used: dict[str, bool] = {}
    kept = 0

    def begin(module: Any, args: Any) -> None:
        used.clear()

    def end(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        nonlocal kept
        import torch

        tensors = list(leaves((args, kwargs)))
        n = next((len(t) for t in tensors if t.ndim), 0)
        kept += sum(t.numel() for t in leaves(output))
        calls.append(
            ModelCall(
                training=module.training,
                grad_enabled=torch.is_grad_enabled(),
                used=tuple(used),
                live=tuple(name for name, is_live in used.items() if is_live),
                n=n,
                rows=tuple(row_digests((args, kwargs), n)),
                output=mapped(output, _kept) if kept < KEPT_NUMBERS else None,
                where=caller(2),
            )
        )

    with ExitStack() as after:
        after.callback(model.register_forward_pre_hook(begin).remove)
        for name, part in mode_modules(model).items():
            after.callback(part.register_forward_pre_hook(_noting(name, used)).remove)
        after.callback(model.register_forward_hook(end, with_kwargs=True).remove)
        yield


def _kept(tensor: Any) -> Any:
    return tensor.detach().clone()


def _noting(name: str, used: dict[str, bool]) -> Callable[[Any, Any], None]:
    def note(module: Any, args: Any) -> None:
        used[name] = used.get(name, False) or module.training

    return note


def _tensors(model: nn.Module) -> Iterator[tuple[str, Any]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _copied(tensor: Any) -> Any:
    return tensor.detach().clone()


def _same(tensor: Any, before: Any) -> bool:
    import torch

    if before is None or tensor.shape != before.shape:
        return False
    now = tensor.detach()
    return torch.equal(now, before) or bool(
        ((now == before) | (now.isnan() & before.isnan())).all()
    )


def _states() -> Iterator[tuple[str, Any]]:
    import random
    import sys

    import torch

    yield "torch", bytes(torch.get_rng_state().numpy())
    yield "random", random.getstate()
    if "numpy.random" in sys.modules:
        kind, keys, *rest = sys.modules["numpy.random"].get_state(legacy=True)
        yield "numpy", (kind, keys.tobytes(), *rest)


def _after_loaders() -> list[dict[str, Any]]:
    """The generators as they are, and after 1, 2 and 3 loaders were begun: each draws a seed."""
    import torch

    found = [dict(_states())]
    for _ in range(3):
        torch.empty((), dtype=torch.int64).random_()
        found.append(dict(_states()))
    return found
