"""Mistakes that a followed net shows while it trains, said once each and written as events.

What is sampled anyway is looked at: gradients that were not cleared, training in evaluation mode.
`labbook check RUN` finds the same later, and much more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from labbook.client.recorder import Recorder

__all__ = ["Alarms"]

_SURE: Final = 3
"""Samples in a row that must show it: one may have been the user's own test."""

_STALE = (
    "loop/stale-grad",
    "the gradients of the step before are still there when a backward pass begins: is "
    "optimizer.zero_grad() missing?",
)
_EVAL = (
    "loop/train-in-eval",
    "the net is trained in evaluation mode (model.training is False): call model.train() after "
    "each evaluation",
)


class Alarms:
    """Looks at each sample of one net."""

    def __init__(self, writer: Recorder, tell: Callable[[str], None], prefix: str) -> None:
        self._writer = writer
        self._tell = tell
        self._prefix = prefix
        self._seen: dict[str, int] = {}
        self._said: set[str] = set()

    def look(self, found: Mapping[str, float | None], step: int) -> None:
        """One sample: statistics by name, `training/(model)` and the like."""
        norms = [v for n, v in found.items() if n.startswith("stale_gradient_norm/")]
        stale = [v for v in norms if v is not None]
        if stale:
            self._count(_STALE, max(stale) > 0, step)
        training = found.get("training/(model)")
        if training is not None:
            self._count(_EVAL, training == 0, step)

    def _count(self, alarm: tuple[str, str], is_so: bool, step: int) -> None:
        rule, text = alarm
        self._seen[rule] = self._seen.get(rule, 0) + 1 if is_so else 0
        if self._seen[rule] >= _SURE and rule not in self._said:
            self._said.add(rule)
            fields = {"rule": rule, "status": "warn"}
            self._writer.event("finding", self._prefix + text, step, **fields)
            self._tell(f"{self._prefix}{text}")
