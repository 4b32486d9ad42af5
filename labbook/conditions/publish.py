"""Makes the tree of a snapshot, stores it, and sets the refs that keep it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from labbook.conditions import gitcommand, trees
from labbook.conditions.job import Job
from labbook.conditions.snapshot import Snapshot
from labbook.conditions.store import ObjectStore
from labbook.conditions.trees import Leaf, TreeEntry, parse_tree

__all__ = ["make_tree", "publish"]

_AUTHOR = "labbook <labbook@localhost> 0 +0000"


def make_tree(
    job: Job, base: str | None, changes: Mapping[str, Leaf | None]
) -> tuple[str, dict[str, bytes]]:
    """Return the id of `base` with `changes`, and its new objects unless the store has them.

    Raises `GitFailed` when the user's repository lacks a tree of its own commit.
    """
    if not changes and base is not None:
        return base, {}
    text = json.dumps([base, sorted(changes.items())])
    key = hashlib.sha256(text.encode()).hexdigest()
    known = job.cache.notes.get("tree")
    if known and known[0] == key and job.store.ref(f"trees/{known[1]}") is not None:
        return str(known[1]), {}
    by_path = {os.fsencode(path): leaf for path, leaf in changes.items()}
    with _tree_reader(job) as read:
        tree, made = trees.edit(read, base, by_path)
    job.cache.note("tree", [key, tree])
    return tree, made


def publish(
    job: Job,
    snapshot: Snapshot,
    new_trees: Mapping[str, bytes],
    leaves: Mapping[str, Leaf],
    *,
    is_based: bool,
) -> Snapshot:
    """Store trees and commit, and set the refs; a ref only to what is complete.

    `is_based` says that the store has all of the user's commit; otherwise only the files stored
    now are kept, as the snapshot's `overlay`.
    """
    refs: dict[str, str] = {}
    tree = str(snapshot.tree)
    if is_based:
        for data in new_trees.values():
            job.store.write("tree", data)
        commit = job.store.write("commit", _commit(tree))
        refs[f"trees/{tree}"] = commit
        snapshot = replace(snapshot, commit=commit)
    elif leaves:
        overlay = _flat(job.store, leaves.items())
        refs[f"files/{overlay}"] = overlay
        snapshot = replace(snapshot, overlay=overlay)
    if snapshot.raw:
        kept = _flat(job.store, ((path, ("100644", oid)) for path, oid in snapshot.raw.items()))
        refs[f"files/{kept}"] = kept
    for name, oid in refs.items():
        job.store.set_ref(name, oid)
    job.cache.note("refs", refs)
    return snapshot


def _commit(tree: str) -> bytes:
    """One commit a tree, whoever makes it and when: equal code has an equal commit."""
    return f"tree {tree}\nauthor {_AUTHOR}\ncommitter {_AUTHOR}\n\nsnapshot\n".encode()


def _flat(store: ObjectStore, leaves: Iterable[tuple[str, Leaf]]) -> str:
    """Store a tree of just these files, which keeps their blobs."""
    tree, made = trees.edit(lambda _: [], None, {os.fsencode(path): leaf for path, leaf in leaves})
    for data in made.values():
        store.write("tree", data)
    return tree


@contextmanager
def _tree_reader(job: Job) -> Iterator[Callable[[str], list[TreeEntry]]]:
    """Read trees of the user's repository, where those of the commit surely are."""
    child: subprocess.Popen[bytes] | None = None

    def read(oid: str) -> list[TreeEntry]:
        nonlocal child
        if child is None:
            child = gitcommand.start(
                str(job.top), "cat-file", "--batch", stdin=subprocess.PIPE, quiet=True,
                extra={"GIT_NO_REPLACE_OBJECTS": "1"},
            )  # fmt: skip
        stream, _, size = gitcommand.ask(child, oid)
        return parse_tree(stream.read(size + 1)[:-1])

    try:
        yield read
    finally:
        if child is not None:
            gitcommand.end(child)
