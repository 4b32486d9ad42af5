"""The terminal program of labbook: reads a book, never writes into it.

Layers, each importing only those above it: `text`, `palette` · `scale`, `raster`, `smooth` ·
`lines` and the widgets on it · `models`, `read`, `feed` · `views`, `screens` · `app`.
"""

from __future__ import annotations

import os

# When it is imported, Textual reads how long a lone Escape waits for the rest of a sequence: ms.
# Its own 100 are felt; a sequence comes in one piece, over ssh too.
os.environ.setdefault("ESCDELAY", "25")

__all__: list[str] = []
