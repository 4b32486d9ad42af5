"""What a user writes in `evaluation.py`: what marks an evaluation, and the ready ones.

Standard library only: a training script that imports its model from a file which also defines an
evaluation pays nothing for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, overload

from labbook.errors import MisuseError
from labbook.paths import component
from labbook.watch.context import Arguments, Chosen, ChosenSets, Context

__all__ = [
    "ALLOWED",
    "PROBE_EVERY",
    "Arguments",
    "Chosen",
    "ChosenSets",
    "Context",
    "Declaration",
    "declaration",
    "evaluation",
]

_MARK = "__labbook_evaluation__"
_T = TypeVar("_T", bound=Callable[..., Any])

PROBE_EVERY: Final = 20
"""After a run's first checkpoint, every so many of them are probed for mistakes."""

ALLOWED: Final = (
    "training", "random", "random-data", "rng", "batch", "order", "repeat", "state", "data",
    "ema", "stale", "drift",
)  # fmt: skip
"""Kinds of mistakes that `allow=` may name as meant; see `labbook.watch.probes`."""


@dataclass(frozen=True)
class Declaration:
    """How an evaluation wants to be run.

    `mini` is the number of examples of the fixed subset that every checkpoint is evaluated on
    (None: every checkpoint on the whole set); then every `full_every`-th checkpoint of a run, and
    its last one, is evaluated on the whole set too. `weight` names the column that metrics are
    weighted by (`"n_tokens"`); None counts examples. `weights` says which weights of a checkpoint
    are loaded: `"model"` or `"ema"`. `metrics` are the columns whose means are metrics; None:
    every column with one number an example. `probes`: a run's first checkpoint and every so many
    after it are looked at for mistakes; 0 never. `allow` are kinds of findings that are meant.
    """

    name: str
    mini: int | None = None
    full_every: int = 5
    batch_size: int = 256
    seed: int = 0
    weight: str | None = None
    weights: str = "model"
    metrics: Sequence[str] | None = None
    probes: int = PROBE_EVERY
    allow: Sequence[str] = ()

    def settings(self, subset: str) -> dict[str, Any]:
        """The settings of a result on `subset`, `"full"` or `"mini"`: a part of its key."""
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


class _Evaluation:
    """`labbook.evaluation`: marks a class or function, and makes the ready-made ones.

    Each marked class has `setup(context)`, `data(context)` and `step(context, batch)`; see
    `Declaration` for what may be given in brackets.
    """

    @overload
    def __call__(self, target: _T, /) -> _T: ...

    @overload
    def __call__(
        self,
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
        metrics: Sequence[str] | None = None,
        probes: bool | int = True,
        allow: str | Sequence[str] = (),
    ) -> Callable[[_T], _T]: ...

    def __call__(
        self,
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
        metrics: Sequence[str] | None = None,
        probes: bool | int = True,
        allow: str | Sequence[str] = (),
    ) -> _T | Callable[[_T], _T]:
        """Mark a class with `setup`, `data` and `step` (or a function `evaluate(model, device)`).

        `name` defaults to the class's name in lower case with underscores. `probes` True: a run's
        first checkpoint and every 20th are looked at for the usual mistakes; a number: every so
        many; False: never. See `Declaration` for the rest. Raises `MisuseError` when the numbers
        or the class cannot work.
        """
        allow = (allow,) if isinstance(allow, str) else tuple(allow)
        _check_numbers(mini=mini, full_every=full_every, batch_size=batch_size)
        _check_words(weights, probes, metrics, allow)

        def mark(marked: _T) -> _T:
            declared = Declaration(
                name=component(name or _snake(marked.__name__), "evaluation"),
                mini=mini,
                full_every=full_every,
                batch_size=batch_size,
                seed=seed,
                weight=weight,
                weights=weights,
                metrics=None if metrics is None else tuple(metrics),
                probes=PROBE_EVERY if probes is True else int(probes),
                allow=allow,
            )
            _check_form(marked, declared)
            setattr(marked, _MARK, declared)
            return marked

        return mark if target is None else mark(target)

    def classification(
        self,
        dataset: Any,
        build: Callable[[Arguments], Any],
        *,
        name: str = "validation",
        outputs: bool = False,
        **options: Any,
    ) -> type:
        """Return an evaluation of a classifier; see `labbook.watch.classification`."""
        from labbook.watch.classification import METRICS, classification

        options.setdefault("metrics", METRICS)
        return self(name=name, **options)(classification(dataset, build, outputs=outputs))

    def command(
        self,
        command: str | Sequence[str],
        *,
        name: str = "command",
        timeout: float | None = None,
        environment: dict[str, str] | None = None,
    ) -> type:
        """Return an evaluation that is a command; see `labbook.watch.command`."""
        from labbook.watch.command import command as made

        return self(name=name, probes=False)(made(command, timeout, environment or {}))

    def lm_eval(
        self,
        tasks: str | Sequence[str],
        build: Callable[[Arguments, Any], Any],
        *,
        name: str = "lm_eval",
        weights: str = "model",
        seed: int = 0,
        **options: Any,
    ) -> type:
        """Return an evaluation by lm-evaluation-harness; see `labbook.watch.harness`."""
        from labbook.watch.harness import harness

        mark = self(name=name, weights=weights, seed=seed, probes=False)
        return mark(harness(tasks, build, seed, options))


evaluation: Final = _Evaluation()
"""Marks an evaluation: `@labbook.evaluation`. Makes one: `labbook.evaluation.classification(…)`."""


def declaration(target: object) -> Declaration | None:
    """The declaration of a marked class or function; None when it is not marked itself."""
    found = getattr(target, "__dict__", {}).get(_MARK)
    return found if isinstance(found, Declaration) else None


def _check_numbers(**numbers: object) -> None:
    for what, number in numbers.items():
        if number is not None and (not isinstance(number, int) or number < 1):
            raise MisuseError(f"evaluation: {what} must be a whole number from 1, got {number!r}")


def _check_words(weights: Any, probes: Any, metrics: Any, allow: Sequence[str]) -> None:
    if weights not in {"model", "ema"}:
        raise MisuseError(f"evaluation: weights must be 'model' or 'ema', got {weights!r}")
    if not isinstance(probes, int) or probes < 0:
        raise MisuseError(
            f"evaluation: probes must be True, False, or a whole number, got {probes!r}"
        )
    if isinstance(metrics, str):
        raise MisuseError(f"evaluation: metrics must be a list of columns, as in [{metrics!r}]")
    unknown = [kind for kind in allow if kind not in ALLOWED]
    if unknown:
        raise MisuseError(
            f"evaluation: allow={unknown[0]!r} is not known; there are {', '.join(ALLOWED)}"
        )


def _check_form(marked: Callable[..., Any], declared: Declaration) -> None:
    is_class = isinstance(marked, type)
    has_own_loop = is_class and hasattr(marked, "evaluate") and not hasattr(marked, "step")
    if not is_class or has_own_loop:
        if declared.mini is not None:
            raise MisuseError(
                f"evaluation {declared.name!r}: mini= needs a class with data() or batches(); "
                f"{'evaluate()' if has_own_loop else 'a plain function'} always goes over "
                "everything"
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
