"""The forgotten eval(): modules that are in training mode while they are evaluated."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from labbook.watch.findings import Report, some
from labbook.watch.precision import Seen
from labbook.watch.session import Session

__all__ = ["training"]


def training(session: Session, seen: Seen | None, report: Report) -> None:
    """Modules in training mode: now, or when they were called.

    Of those that the evaluation holds itself only what was called, and behaves differently then:
    `self.criterion` is in training mode all its life.
    """
    found = {name: kind for name, kind in (seen.training if seen else {}).items()
             if not _is_own(name) or _is_telling(kind)}  # fmt: skip
    model = session.context.model
    if isinstance(model, torch.nn.Module):
        found |= {n: type(m).__name__ for n, m in model.named_modules() if m.training}
    if not found or report.has("training"):
        return
    own = next((name.split(".")[1] for name in found if _is_own(name)), None)
    remedy = (
        "labbook calls model.eval() before each checkpoint; something calls train() after it"
        if own is None
        else f"labbook puts the model that setup() returns into eval mode, not self.{own}: call "
        f"self.{own}.eval()"
    )
    where = some(sorted(name for name in found if name)) or "the model"
    report.add(
        "training",
        f"forgotten eval(): in training mode while evaluated: {_counted(found)} ({where}), so "
        f"dropout drops and BatchNorm uses and updates statistics. {remedy}",
        where,
    )


def _is_own(name: str) -> bool:
    return name.startswith("self.")


def _counted(found: Mapping[str, str]) -> str:
    kinds: dict[str, int] = {}
    for kind in found.values():
        kinds[kind] = kinds.get(kind, 0) + 1
    ordered = sorted(kinds.items(), key=lambda pair: (not _is_telling(pair[0]), pair[0]))
    return some([f"{count} {kind}" for kind, count in ordered])


def _is_telling(kind: str) -> bool:
    return "Dropout" in kind or "BatchNorm" in kind
