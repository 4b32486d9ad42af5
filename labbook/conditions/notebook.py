"""The cells a notebook has executed so far: the program, where there is no script.

The file of a notebook says what is written in it now, not what ran and in which order; the
shell's history does.
"""

from __future__ import annotations

import sys

__all__ = ["executed_cells"]


def executed_cells() -> str | None:
    """Return the cells in order of execution, as a `# %%` script; None outside IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if hasattr(ipython, "get_ipython") and ipython else None
    history = getattr(shell, "history_manager", None)
    if history is None:
        return None
    cells = [(n, text) for n, text in enumerate(history.input_hist_raw) if text]
    return "".join(f"# %% [{n}]\n{text.rstrip()}\n\n" for n, text in cells) or None
