"""Experiment tracker and reproducibility daemon for deep learning: plain files, no server."""

from __future__ import annotations

