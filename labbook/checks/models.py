"""Copies of the model that several rules share, because a model can take long to make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labbook.checks.bench import Bench

if TYPE_CHECKING:
    from torch import nn

__all__ = ["as_made", "in_eval"]


def as_made(bench: Bench) -> nn.Module:
    """One that nobody runs: to read from."""
    return bench.shared(_as_made)


def in_eval(bench: Bench) -> nn.Module:
    """One that is only ever run in eval mode, and never trained."""
    return bench.shared(_in_eval).eval()


def _as_made(bench: Bench) -> nn.Module:
    return bench.model()


def _in_eval(bench: Bench) -> nn.Module:
    return bench.model()
