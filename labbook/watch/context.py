"""What an evaluation is given: the run's arguments, its chosen sets, the device, the checkpoint.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labbook.errors import EvaluationError

__all__ = ["Arguments", "Chosen", "ChosenSets", "Context"]


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


@dataclass(frozen=True)
class Chosen:
    """A set of examples that the run follows: what `run.choose()` recorded of it.

    `indices` are the examples' places in the data that was given to `choose()`; a result whose
    ids are places in the same data has them in its column `example`. `digest` (of the content) and
    `length` (of the whole data) are None where they are not known.
    """

    name: str
    indices: tuple[int, ...]
    digest: str | None
    seed: int | None
    length: int | None


class ChosenSets(Mapping[str, Chosen]):
    """A run's chosen sets by name; empty for a run that chose none."""

    def __init__(self, sets: Mapping[str, Chosen]) -> None:
        self._sets = dict(sets)

    def __getitem__(self, name: str) -> Chosen:
        try:
            return self._sets[name]
        except KeyError:
            known = ", ".join(self._sets) or "none"
            raise EvaluationError(
                f"the run has no chosen set {name!r}; it has {known}. "
                "`raise labbook.Skip(…)` where a run without one is not to be evaluated"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._sets

    def __iter__(self) -> Iterator[str]:
        return iter(self._sets)

    def __len__(self) -> int:
        return len(self._sets)


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
    read_chosen: Callable[[], ChosenSets] = field(
        default=lambda: ChosenSets({}), repr=False, compare=False
    )
    _chosen: ChosenSets | None = field(default=None, repr=False, compare=False)

    @property
    def chosen(self) -> ChosenSets:
        """The run's chosen sets, read when first asked for."""
        if self._chosen is None:
            self._chosen = self.read_chosen()
        return self._chosen

    @property
    def has_read_chosen(self) -> bool:
        """Whether the evaluation asked for the chosen sets: what it made of them is this run's."""
        return self._chosen is not None

    def begin_run(
        self, run: str, conditions: dict[str, Any], read_chosen: Callable[[], ChosenSets]
    ) -> None:
        """Serve another run, whose arguments are the same (and its chosen sets, if read)."""
        self.run, self.conditions, self.read_chosen = run, conditions, read_chosen
