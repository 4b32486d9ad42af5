"""What rules work with: copies of the user's model, their batches, loss and optimizer.

Invariant: nothing here hands out the user's own module or optimizer. Everything random is seeded
with the check's seed, so a rule says the same alone and among others.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from labbook.checks.batch import Batch, leaves, mapped, split
from labbook.checks.loaders import in_process
from labbook.checks.origins import modules_noted
from labbook.checks.place import place_of_error
from labbook.checks.rule import Cannot
from labbook.checks.subject import TASKS, Subject
from labbook.client.undisturbed import randomness_kept, seed_all

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.optim import Optimizer

__all__ = ["Bench", "Outcome", "UserError", "needs_closure"]

_T = TypeVar("_T")

RULE_SECONDS = 30.0
"""What one rule may take."""

FALLBACK_RATE = 1e-3
"""Of Adam, where the subject brings no optimizer."""


class UserError(Cannot):
    """The user's own code raised; `doing` says in what, `error` is the exception."""

    def __init__(self, doing: str, error: BaseException) -> None:
        at = place_of_error(error)
        text = " ".join(str(error).split())[:300]
        super().__init__(
            f"{doing} raised {type(error).__name__}: {text}" + (f" at {at}" if at else "")
        )
        self.doing = doing
        self.error = error


@dataclass(frozen=True)
class Outcome:
    """What a model made of a batch: its `output`, the main tensor in it, and the loss (0-d)."""

    output: Any
    tensor: Tensor
    loss: Tensor


class Bench:
    """A subject, and copies of it to try things on."""

    def __init__(self, subject: Subject, seed: int = 0, deadline: float | None = None) -> None:
        self.subject = subject
        self.seed = seed
        self.deadline = deadline  # on time.monotonic(), of the whole check
        self._rule_deadline = float("inf")
        self._shared: dict[Any, Any] = {}
        self.last: dict[str, Any] = {}  # the batch and output in hand when something went wrong

    # ------------------------------------------------------------------ time

    @contextmanager
    def limited(self, seconds: float = RULE_SECONDS) -> Iterator[None]:
        """For one rule: `self.tick()` raises `Cannot` when its time is up."""
        now = time.monotonic()
        end = self.deadline if self.deadline is not None else float("inf")
        self._rule_deadline = min(now + seconds, end)
        try:
            yield
        finally:
            self._rule_deadline = float("inf")

    @property
    def seconds_left(self) -> float:
        """Of the rule that runs."""
        return self._rule_deadline - time.monotonic()

    def tick(self) -> None:
        """Call it in every loop: raises `Cannot` when the rule's time is up."""
        if self.seconds_left < 0:
            raise Cannot("out of time (--budget)")

    def shared(self, measure: Callable[[Bench], _T]) -> _T:
        """What `measure(bench)` returns or raises, measured once for all rules."""
        if measure not in self._shared:
            with randomness_kept():
                seed_all(self.seed)
                try:
                    self._shared[measure] = measure(self), None
                except Cannot as why:
                    self._shared[measure] = None, why
        value, error = self._shared[measure]
        if error is not None:
            raise error
        result: _T = value
        return result

    # ------------------------------------------------------------------ model and optimizer

    def model(self, seed: int | None = None) -> nn.Module:
        """A copy of the model as the user starts to train it, in train mode or as they left it.

        With a factory: what it makes under the check's seed (or another).
        """
        import torch

        source = self.subject.model
        if isinstance(source, torch.nn.Module):
            return self._copied(source)
        with randomness_kept(), modules_noted():
            seed_all(self.seed if seed is None else seed)
            made = self._users("model()", source)
        if not isinstance(made, torch.nn.Module):
            raise Cannot(f"model() returned a {type(made).__name__}, not a torch.nn.Module")
        return made

    def fresh(self, seed: int | None = None) -> nn.Module:
        """A newly initialised copy.

        Raises `Cannot` for a module that cannot be initialised anew (a factory can).
        """
        import torch

        if not isinstance(self.subject.model, torch.nn.Module):
            return self.model(seed)
        model = self.model()
        with randomness_kept(), torch.no_grad():
            seed_all(self.seed if seed is None else seed)
            for name, module in model.named_modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
                elif module._parameters and any(p is not None for p in module._parameters.values()):
                    raise Cannot(
                        f"{name or type(module).__name__} cannot be initialised anew: give "
                        "Subject(model=…) a function that makes the model"
                    )
        return model

    def _copied(self, module: nn.Module) -> nn.Module:
        try:
            made = copy.deepcopy(module)
        except Exception as error:  # whatever a module's parts raise
            raise Cannot(f"the model cannot be copied: {error}") from error
        for parameter in made.parameters():
            parameter.grad = None
        return made

    def optimizer(self, model: nn.Module) -> Optimizer:
        """The user's optimizer, on a copy. Raises `Cannot` where the subject brings none."""
        from labbook.checks.optimizers import rebuilt

        source = self.subject.optimizer
        if source is None:
            raise Cannot("no optimizer= given")
        if hasattr(source, "param_groups"):
            return rebuilt(source, self.subject.model, model)
        made = self._users("optimizer()", source, model)
        if not hasattr(made, "param_groups"):
            raise Cannot(f"optimizer() returned a {type(made).__name__}, not a torch optimizer")
        result: Optimizer = made
        return result

    def stepper(self, model: nn.Module) -> Optimizer:
        """The user's optimizer, else Adam at 1e-3."""
        import torch

        if self.subject.optimizer is not None:
            return self.optimizer(model)
        return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], FALLBACK_RATE)

    @staticmethod
    def device_of(model: nn.Module) -> torch.device:
        """Where the first parameter lies."""
        import torch

        parameter = next(model.parameters(), None)
        return parameter.device if parameter is not None else torch.device("cpu")

    # ------------------------------------------------------------------ data

    def stream(
        self, which: str = "loader", epoch: int = 0, noted: list[list[int]] | None = None
    ) -> Iterator[Batch]:
        """The batches of one pass over `loader` or `val`, in this process, seeded by the epoch.

        `noted` gets each batch's indices into the dataset, where a DataLoader draws them.
        """
        source = getattr(self.subject, which)
        if source is None:
            raise Cannot(f"no {which}= given")
        with randomness_kept():
            seed_all(self.seed + epoch)
            raws = self._users(f"{which} (iter)", iter, in_process(source, noted))
        while True:
            self.tick()
            try:
                raw = self._users(f"{which} (next)", next, raws)
            except StopIteration:
                return
            yield self.split(raw)

    def split(self, raw: Any) -> Batch:
        """Tell inputs from target."""
        own = self.subject.split
        batch: Batch = self._users("split()", split, raw, self.subject.loss is not None, own)
        self.last["batch"] = batch
        return batch

    def first(self, n: int, which: str = "loader") -> list[Batch]:
        """The first `n` batches (fewer where there are fewer), read once."""
        kept: list[Batch] = self._shared.get(("first", which), (None, []))[1]
        is_all = self._shared.get(("all", which), False)
        if len(kept) < n and not is_all:
            kept = list(islice(self.stream(which), n))
            self._shared["first", which] = (None, kept)
            self._shared["all", which] = len(kept) < n
        if not kept:
            raise Cannot(f"{which} delivered no batch")
        return kept[:n]

    @property
    def batch(self) -> Batch:
        """The first batch of the loader."""
        return self.first(1)[0]

    def val_batch(self) -> Batch:
        """The first batch of the validation loader."""
        return self.first(1, "val")[0]

    def examples(self, n: int, which: str = "loader") -> Batch:
        """The first `n` examples (fewer where there are fewer), as one batch.

        Raises `Cannot` where batches cannot be joined (different lengths).
        """
        from labbook.checks.joining import joined

        got: list[Batch] = []
        count = 0
        for batch in self.first(max(1, -(-n // max(1, self.first(1, which)[0].n))), which):
            got.append(batch)
            count += batch.n
        whole = joined(got)
        return whole.take(list(range(min(n, count))))

    # ------------------------------------------------------------------ forward, loss, step

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """The model's output, whatever it is. Raises `UserError` when the model does."""
        batch = batch.to(self.device_of(model))
        self.last["batch"] = batch
        own = self.subject.forward
        if own is not None:
            inputs: Any = batch.kwargs or (batch.args if len(batch.args) != 1 else batch.args[0])
            output = self._users("forward()", own, model, inputs)
        else:
            output = self._users("the model", model, *batch.args, **batch.kwargs)
        self.last["output"] = output
        return output

    def tensor(self, output: Any) -> Tensor:
        """The main tensor of an output: itself, `.logits`, or the first one of floats."""
        import torch

        if isinstance(output, torch.Tensor):
            return output
        for name in ("logits", "prediction", "last_hidden_state"):
            found = getattr(output, name, None)
            if found is None and isinstance(output, dict):
                found = output.get(name)
            if isinstance(found, torch.Tensor):
                return found
        found = next((t for t in leaves(output) if t.ndim > 0 and t.is_floating_point()), None)
        if found is None:
            raise Cannot(f"no tensor of floats in the model's output, a {type(output).__name__}")
        return found

    def loss(self, output: Any, target: Any) -> Tensor:
        """The loss, 0-d: the user's, the model's own, or the usual one for the targets.

        Raises `UserError` when it does, `Cannot` when it is not one number.
        """
        import torch

        from labbook.checks.losses import assumed_loss, own_loss

        if self.subject.loss is not None:
            value = self._users("the loss", self.subject.loss, output, target)
        else:
            value = own_loss(output)
            if value is None:
                value = self._users(
                    "the loss", assumed_loss(self.tensor(output), target), output, target
                )
        if not isinstance(value, torch.Tensor):
            raise Cannot(f"the loss returned a {type(value).__name__}, not a tensor")
        if value.numel() != 1:
            raise Cannot(f"the loss returned shape {tuple(value.shape)}, not one number")
        return value.reshape(())

    @property
    def has_free_loss(self) -> bool:
        """Whether the loss can be computed on outputs that no model made."""
        from labbook.checks.losses import own_loss

        if self.subject.loss is not None:
            return True
        import torch

        with torch.no_grad():
            return own_loss(self.forward(self.model().eval(), self.batch)) is None

    def run(self, model: nn.Module, batch: Batch) -> Outcome:
        """Forward pass and loss."""
        output = self.forward(model, batch)
        target = batch.to(self.device_of(model)).target
        target = mapped(target, lambda t: t.clone())  # the batch is kept, and a loss may write
        return Outcome(output, self.tensor(output), self.loss(output, target))

    def backward(self, loss: Tensor) -> None:
        """A backward pass. Raises `UserError` when it does."""
        self._users("backward()", loss.backward)

    def step(self, model: nn.Module, optimizer: Optimizer, batch: Batch) -> float:
        """One plain training step; returns the loss before it."""
        first: list[float] = []

        def closure() -> Tensor:
            outcome = self.run(model, batch)
            optimizer.zero_grad()
            self.backward(outcome.loss)
            first.append(outcome.loss.detach().item())
            return outcome.loss

        if needs_closure(optimizer):  # LBFGS computes gradients several times a step
            self._users("optimizer.step()", optimizer.step, closure)
        else:
            closure()
            self._users("optimizer.step()", optimizer.step)
        return first[0]

    def evaluate(self, model: nn.Module) -> Any:
        """What the user's `evaluate` returns for this model. Raises `UserError` when it raises."""
        if self.subject.evaluate is None:
            raise Cannot("no evaluate= given")
        return self._users("evaluate()", self.subject.evaluate, model)

    @property
    def task(self) -> str:
        """One of "classification", "binary", "regression", "language", "other".

        As said, else by the loss function's torch calls, else by the targets' type.
        """
        from labbook.checks.losses import inferred_task

        if self.subject.task is not None:
            return TASKS[self.subject.task]
        return self.shared(inferred_task)

    def _users(self, doing: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (Cannot, StopIteration):
            raise
        except Exception as error:  # whatever the user's code raises
            raise UserError(doing, error) from error


def needs_closure(optimizer: Optimizer) -> bool:
    """Whether its step takes a function that computes the gradients, as LBFGS's does."""
    import inspect

    step = inspect.unwrap(type(optimizer).step)
    parameter = inspect.signature(step).parameters.get("closure")
    return parameter is not None and parameter.default is parameter.empty


def example_mean(values: Iterable[tuple[float, int]]) -> float:
    """The mean over examples of (value, examples) pairs."""
    total, n = 0.0, 0
    for value, count in values:
        total, n = total + value * count, n + count
    return total / n if n else float("nan")
