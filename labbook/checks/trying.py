"""A subject of the user's, tried out without leaving a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from labbook.checks.isolation import undisturbed
from labbook.checks.reach import reached
from labbook.checks.subject import Subject

__all__ = ["trying"]


@contextmanager
def trying(subject: Subject) -> Iterator[None]:
    """Everything that the subject's functions reach is afterwards as it was, files included."""
    import torch

    found = reached(subject)
    kinds = (torch.nn.Module, torch.optim.Optimizer, torch.utils.data.DataLoader)
    modules, optimizers, loaders = ([v for v in found if isinstance(v, kind)] for kind in kinds)
    with undisturbed(modules, optimizers, loaders):
        yield
