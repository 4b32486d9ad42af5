"""What a user writes in `evaluation.py`: what marks an evaluation, and the context it gets.

Standard library only: a training script that imports its model from a file which also defines an
evaluation pays nothing for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, overload

from labbook.errors import MisuseError
from labbook.paths import component

__all__ = ["Arguments", "Context", "Declaration", "declaration", "evaluation"]

_MARK = "__labbook_evaluation__"
_T = TypeVar("_T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """How an evaluation wants to be run; everything here is part of a result's key.

    `mini` is the number of examples of the fixed subset that every checkpoint is evaluated on
    (None: every checkpoint on the whole set); then every `full_every`-th checkpoint of a run, and
    its last one, is evaluated on the whole set too. `weight` names the column that metrics are
    weighted by (`"n_tokens"`); None counts examples. `weights` says which weights of a checkpoint
    are loaded: `"model"` or `"ema"`.
    """

    name: str
    mini: int | None = None
    full_every: int = 5
    batch_size: int = 256
    seed: int = 0
    weight: str | None = None
    weights: str = "model"

    def settings(self, subset: str) -> dict[str, Any]:
        """The settings of a result on `subset`, `"full"` or `"mini"`."""
        settings: dict[str, Any] = {
            "subset": subset,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "weight": self.weight,
            "weights": self.weights,
        }
        if subset == "mini":
            settings["mini"] = self.mini
        return settings


class Arguments(Mapping[str, Any]):
    """A run's arguments, as attributes and as a mapping; nested mappings likewise."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        return Arguments(value) if isinstance(value, dict) else value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            known = ", ".join(sorted(self._values)) or "none at all"
            raise AttributeError(
                f"the run has no argument {name!r}; it has {known}. "
                f"Use context.args.get({name!r}, default) where older runs lack it"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Arguments({self._values!r})"


@dataclass
class Context:
    """What an evaluation is given.

    `device` is a `torch.device`. `checkpoint` (path), `step` and `model` are None during `setup`
    and `data`. `ids` are the examples asked for, None for all; an evaluation with its own
    `batches` honours it and sets `n_examples`. `scratch` is a folder of the worker's own, removed
    when it ends.
    """

    args: Arguments
    conditions: dict[str, Any]
    run: str
    device: Any
    scratch: Path
    checkpoint: Path | None = None
    step: int | None = None
    model: Any = None
    ids: Sequence[int] | None = None
    n_examples: int | None = None
    state: dict[str, Any] = field(default_factory=dict)


@overload
def evaluation(target: _T, /) -> _T: ...


@overload
def evaluation(
    target: None = None,
    /,
    *,
    name: str | None = None,
    mini: int | None = None,
    full_every: int = 5,
    batch_size: int = 256,
    seed: int = 0,
    weight: str | None = None,
    weights: str = "model",
) -> Callable[[_T], _T]: ...


def evaluation(
    target: _T | None = None,
    /,
    *,
    name: str | None = None,
    mini: int | None = None,
    full_every: int = 5,
    batch_size: int = 256,
    seed: int = 0,
    weight: str | None = None,
    weights: str = "model",
) -> _T | Callable[[_T], _T]:
    """Mark a class with `setup`, `data` and `step` (or a function `evaluate(model, device)`).

    `name` defaults to the class's name in lower case with underscores. See `Declaration` for the
    rest. Raises `MisuseError` when the numbers or the class cannot work.
    """
    for what, number in (("mini", mini), ("full_every", full_every), ("batch_size", batch_size)):
        if number is not None and (not isinstance(number, int) or number < 1):
            raise MisuseError(f"evaluation: {what} must be a whole number from 1, got {number!r}")
    if weights not in {"model", "ema"}:
        raise MisuseError(f"evaluation: weights must be 'model' or 'ema', got {weights!r}")

    def mark(marked: _T) -> _T:
        declared = Declaration(
            name=component(name or _snake(marked.__name__), "evaluation"),
            mini=mini,
            full_every=full_every,
            batch_size=batch_size,
            seed=seed,
            weight=weight,
            weights=weights,
        )
        _check_form(marked, declared)
        setattr(marked, _MARK, declared)
        return marked

    return mark if target is None else mark(target)


def declaration(target: object) -> Declaration | None:
    """The declaration of a marked class or function; None when it is not marked itself."""
    found = getattr(target, "__dict__", {}).get(_MARK)
    return found if isinstance(found, Declaration) else None


def _check_form(marked: Callable[..., Any], declared: Declaration) -> None:
    if not isinstance(marked, type):
        if declared.mini is not None:
            raise MisuseError(
                f"evaluation {declared.name!r}: mini= needs a class with data() or batches(); "
                "a plain function always goes over everything"
            )
        return
    missing = [method for method in ("setup", "step") if not hasattr(marked, method)]
    if not (hasattr(marked, "data") or hasattr(marked, "batches")):
        missing.append("data (or batches)")
    if missing:
        raise MisuseError(
            f"evaluation {declared.name!r} ({marked.__qualname__}) lacks {', '.join(missing)}: "
            "a class needs setup(context), data(context) and step(context, batch)"
        )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
