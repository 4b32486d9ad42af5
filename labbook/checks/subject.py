"""What is checked: a model with its loss, its data and the loops around them.

Standard library only: a module that declares a subject pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from labbook.errors import MisuseError

__all__ = ["TASKS", "Subject", "as_subject", "is_subject", "subject"]

TASKS: Final = {
    "classification": "classification", "ce": "classification", "multiclass": "classification",
    "binary": "binary", "bce": "binary", "multilabel": "binary",
    "regression": "regression", "mse": "regression", "l1": "regression", "huber": "regression",
    "language": "language", "lm": "language",
    "other": "other",
}  # fmt: skip
"""What a user may call a task -> what the rules call it."""

_MARK = "__labbook_subject__"


@dataclass
class Subject:
    """A model with its loss, its data and the loops around them.

    `model`: a function without arguments that makes one, freshly initialised, or a module.
    `loader`: a re-iterable of batches, `(input, target)`, `(input, input, …, target)`, mappings
    (given as `model(**batch)`, without the target where there is a `loss`), or lone inputs (then
    the target is the input). `loss(output, target)` returns one number; without it the model's own
    is used (`output.loss`), else the usual one for the targets' type. `val`: a loader of the
    validation set. `optimizer(model)` makes the optimizer; an optimizer of a `model` given as a
    module will do. `train(model, optimizer, n_steps)`: your own training loop, on the model it is
    given. `evaluate(model)`: your own evaluation, a number or a mapping of numbers. `task`:
    "classification", "binary", "regression", "language" or "other"; inferred from loss and targets
    when left out. `split(batch)` returns `(inputs, target)` and `forward(model, inputs)` the output
    for what is unusual. `pretrained`: the factory loads weights, so nothing holds "at
    initialisation". `allow`: `{rule: reason}`, what is meant.
    """

    model: Any
    loss: Callable[[Any, Any], Any] | None = None
    loader: Iterable[Any] | None = None
    val: Iterable[Any] | None = None
    optimizer: Any = None
    train: Callable[[Any, Any, int], Any] | None = None
    evaluate: Callable[[Any], Any] | None = None
    task: str | None = None
    allow: Mapping[str, str] = field(default_factory=dict)
    split: Callable[[Any], tuple[Any, Any]] | None = None
    forward: Callable[[Any, Any], Any] | None = None
    pretrained: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if not callable(self.model):
            raise MisuseError(
                "Subject(model=…) takes a function that makes a model, or a torch.nn.Module, "
                f"got {type(self.model).__name__}"
            )
        for name in ("loss", "train", "evaluate", "split", "forward"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise MisuseError(f"Subject({name}=…) takes a function, got {type(value).__name__}")
        self._check_loaders()
        if self.task is not None and self.task not in TASKS:
            raise MisuseError(f"Subject(task={self.task!r}): expected one of {', '.join(TASKS)}")
        for rule, reason in self.allow.items():
            if not isinstance(reason, str) or not reason.strip():
                raise MisuseError(f"Subject(allow={{{rule!r}: …}}) needs a reason, in words")

    def _check_loaders(self) -> None:
        for name in ("loader", "val"):
            value = getattr(self, name)
            if value is None:
                continue
            if not hasattr(value, "__iter__") or isinstance(value, (str, bytes)):
                raise MisuseError(
                    f"Subject({name}=…) takes something to iterate over, such as a DataLoader, "
                    f"got {type(value).__name__}"
                )
            if hasattr(value, "__next__"):  # not iter(): a DataLoader draws a seed for each
                raise MisuseError(
                    f"Subject({name}=…) is read several times, but a {type(value).__name__} can be "
                    "read only once: give the DataLoader, or a list of batches"
                )


def subject(function: Callable[[], Any]) -> Callable[[], Any]:
    """Mark a function that returns a `Subject`, or a dict of its arguments.

    `labbook check file.py` finds it; nothing runs when the file is imported.
    """
    if not callable(function):
        raise MisuseError(f"@labbook.subject goes on a function, got {type(function).__name__}")
    setattr(function, _MARK, True)
    return function


def is_subject(value: Any) -> bool:
    """Whether this is a marked function, or a subject itself."""
    return isinstance(value, Subject) or getattr(value, _MARK, False) is True


def as_subject(value: Any) -> Subject:
    """The subject that a user means: one, a function that returns one, or a dict of its parts.

    Raises `MisuseError` for anything else.
    """
    name = getattr(value, "__name__", "")
    if callable(value) and not isinstance(value, Subject) and not _is_module(value):
        from labbook.checks.origins import origins_noted

        with origins_noted():
            value = value()
    if isinstance(value, Mapping):
        known = {f.name for f in fields(Subject)}
        unknown = sorted(set(map(str, value)) - known)
        if unknown:
            raise MisuseError(
                f"a subject has no {', '.join(unknown)}; it has {', '.join(sorted(known))}"
            )
        value = Subject(**value)
    if not isinstance(value, Subject):
        raise MisuseError(
            "labbook.check() takes a labbook.Subject, or a function that returns one, "
            f"got {type(value).__name__}"
        )
    value.name = value.name or name
    return value


def _is_module(value: Any) -> bool:
    return hasattr(value, "state_dict") and hasattr(value, "forward")
