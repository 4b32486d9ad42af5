"""What a book still has of the code that a run executed."""

from __future__ import annotations

import re
from typing import Any

from labbook.book.runreader import RunReader
from labbook.conditions.store import ObjectStore
from labbook.paths import BookPaths

__all__ = ["code_kept"]

_ID = re.compile(r"[0-9a-f]{40}")


def code_kept(run: RunReader) -> dict[str, Any]:
    """`state` of the code: `kept`, `partial`, `absent` (the book lacks it), or `none` was taken.

    With it the `tree`, why (`reason`), how many files were left out, and the commit that was later
    made of exactly this tree (`committed`); each null when there is none.
    """
    snapshot = run.conditions.get("snapshot")
    snapshot = snapshot if isinstance(snapshot, dict) else {}
    kind, tree = snapshot.get("kind"), snapshot.get("tree")
    committed = run.facts.fact("committed")
    if kind not in ("complete", "partial") or not isinstance(tree, str) or not _ID.fullmatch(tree):
        state = "none"
    elif kind == "partial":
        state = "partial"
    else:
        store = ObjectStore(BookPaths(run.paths.root.parent.parent).code)
        state = "kept" if store.ref(f"trees/{tree}") is not None else "absent"
    left_out = snapshot.get("left_out")
    return {
        "state": state,
        "tree": tree if state != "none" else None,
        "reason": snapshot.get("reason"),
        "n_left_out": len(left_out) if isinstance(left_out, list) else None,
        "committed": committed.get("commit") if isinstance(committed, dict) else None,
    }
