"""The model and the loss on one real batch, as the chain of torch functions that they call.

What is handed to the loss is followed by identity: which function made it, and whether it comes
from the targets. That makes statements about a loss exact that a name could only suggest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch, leaves
from labbook.checks.bench import Bench, UserError
from labbook.checks.losses import LOSS_KINDS, own_loss
from labbook.checks.rule import Cannot
from labbook.checks.torch_calls import Call, torch_calls

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["RESHAPING", "Trace", "trace", "traced"]

RESHAPING = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "permute",
        "transpose",
        "movedim",
        "moveaxis",
        "swapaxes",
        "swapdims",
        "contiguous",
        "clone",
        "float",
        "double",
        "half",
        "bfloat16",
        "to",
        "type",
        "type_as",
        "view_as",
        "T",
        "mT",
        "H",
        "t",
    ]
)
"""Functions that keep every number, in another shape or type."""

PICKING = frozenset(("__getitem__", "narrow", "select", "index_select", "masked_select"))
"""Functions that keep some of the numbers."""

MAX_NUMBERS = 1 << 20
"""Of an output; with more, only the first examples of the batch are traced."""


@dataclass
class Trace:
    """What was called. `calls[:n_model]` belong to the model, the others to the loss.

    `value` is what the loss returned (whatever it is), `loss` the same as a 0-d tensor, None where
    it is none. `error` is what the model or the loss raised; then `output` may be None.
    """

    model: nn.Module
    batch: Batch
    calls: list[Call] = field(default_factory=list)
    n_model: int = 0
    output: Any = None
    value: Any = None
    loss: Tensor | None = None
    error: UserError | None = None
    _made: dict[int, list[int]] = field(default_factory=dict)

    @property
    def loss_calls(self) -> list[Call]:
        """What the loss called; of a model that has its own loss, all."""
        return self.calls[self.n_model :]

    def known(self) -> list[Call]:
        """The calls of torch's loss functions, those that raised too."""
        return [c for c in self.loss_calls if c.name in LOSS_KINDS]

    def index(self) -> None:
        """Note which call made which tensor; once, when the calls are complete."""
        for n, call in enumerate(self.calls):
            for tensor in leaves(call.result):
                self._made.setdefault(id(tensor), []).append(n)

    def maker(self, tensor: Any, before: int | None = None) -> tuple[int, Call] | None:
        """The last call (before another one) that returned this tensor."""
        made = self._made.get(id(tensor), [])
        made = made if before is None else [n for n in made if n < before]
        return (made[-1], self.calls[made[-1]]) if made else None

    def origin(self, tensor: Any, through: frozenset[str] = RESHAPING) -> Call | None:
        """The call that computed these numbers, seen through reshaping; None for a leaf."""
        for call in self.chain(tensor):
            if call.name not in through:
                return call
        return None

    def chain(self, tensor: Any) -> Iterator[Call]:
        """The calls that led to a tensor, last first, each by its first argument."""
        import torch

        before: int | None = None
        while isinstance(tensor, torch.Tensor):
            found = self.maker(tensor, before)
            if found is None:
                return
            before, call = found
            yield call
            tensor = call.args[0] if call.args else call.kwargs.get("input")

    def leads(self, call: Call) -> bool:
        """Whether the loss depends on what a call returned; True where that cannot be said.

        What a loop computes for its log does not lead to the loss.
        """
        import torch

        results = [t for t in leaves(call.result) if t.requires_grad]
        if self.loss is None or not self.loss.requires_grad or not results:
            return True
        with torch.enable_grad():
            grads = torch.autograd.grad(self.loss, results, retain_graph=True, allow_unused=True)
        return any(grad is not None for grad in grads)

    def of_target(self) -> set[int]:
        """The ids of the tensors that hold targets, or were computed from targets alone."""
        ours = {id(t) for t in leaves(self.batch.target)}
        for call in self.loss_calls:
            given = list(leaves((call.args, call.kwargs)))
            if any(id(t) in ours for t in given) and not any(t.requires_grad for t in given):
                ours |= {id(t) for t in leaves(call.result)}
        return ours

    def is_target_itself(self, tensor: Any) -> bool:
        """Whether a tensor holds the loader's own targets, in another shape or type at most."""
        own = {id(t) for t in leaves(self.batch.target)}
        if id(tensor) in own:
            return True
        for call in self.chain(tensor):
            if call.name not in RESHAPING | {"long", "int"}:
                return False
            if call.args and id(call.args[0]) in own:
                return True
        return False


def traced(bench: Bench) -> Trace:
    """The first batch through the model, as the user left it, and the loss; `bench.shared` it.

    Raises `Cannot` when the model raised; what the loss raised is in `error`.
    """
    model = bench.model()
    batch = bench.batch
    seen = trace(bench, model, batch)
    size = max((t.numel() for t in leaves(seen.output)), default=0)
    if size > MAX_NUMBERS and batch.n > 2:
        fewer = max(2, batch.n * MAX_NUMBERS // size)
        seen = trace(bench, bench.model(), batch.take(list(range(fewer))))
    return seen


def trace(bench: Bench, model: nn.Module, batch: Batch) -> Trace:
    """This batch through this model and the loss."""
    batch = _cloned(batch.to(bench.device_of(model)))  # a loss may write into it
    seen = Trace(model, batch)
    loss = bench.subject.loss
    with torch_calls(seen.calls):
        try:
            seen.output = bench.forward(model, batch)
        except UserError as error:
            seen.error = error
            if loss is not None or not any(c.error for c in seen.known()):
                raise
    if seen.error is None:
        value_of: Callable[[], Any] = (
            (lambda: loss(seen.output, batch.target))
            if loss is not None
            else (lambda: own_loss(seen.output))
        )
        seen.n_model = len(seen.calls) if loss is not None else 0
        _call_loss(bench, seen, value_of)
    seen.index()
    return seen


def _cloned(batch: Batch) -> Batch:
    """What is one tensor in several places stays one."""
    clones: dict[int, Tensor] = {}
    return batch.map(lambda t: clones.setdefault(id(t), t.clone()))


def _call_loss(bench: Bench, seen: Trace, value_of: Callable[[], Any]) -> None:
    import torch

    with torch_calls(seen.calls):
        try:
            seen.value = value_of()
            if seen.value is None:  # no loss= and none of the model's: the usual one
                seen.n_model = len(seen.calls)
                seen.value = bench.loss(seen.output, seen.batch.target)
        except Cannot:
            raise
        except Exception as error:  # whatever the user's loss raises
            seen.error = UserError("the loss", error)
            seen.error.__cause__ = error
    if isinstance(seen.value, torch.Tensor) and seen.value.numel() == 1:
        seen.loss = seen.value.reshape(())
