"""The terminal program of labbook: reads a book, never writes into it.

Layers, each importing only those above it: `text`, `palette` · `scale`, `raster`, `smooth` ·
`lines` and the widgets on it · `models`, `read`, `feed` · `views`, `screens` · `app`.
"""

from __future__ import annotations

__all__: list[str] = []
