"""Runs of uncommitted code whose code is a commit now: "committed as <commit>".

What decides is the tree: a commit whose tree is that of a run's snapshot is that run's code, byte
for byte, whoever made it and when. Standard library and git only: a commit waits for this.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from labbook.book.facts import MAX_BYTES, Facts, as_text, entries, read_object
from labbook.conditions import gitcommand
from labbook.conditions.gitcommand import GitFailed
from labbook.errors import DamagedFile
from labbook.paths import BookPaths, RunPaths

__all__ = ["Commit", "RunName", "commit_of", "head", "mark", "name_of", "runs_of_tree", "was_run"]


class Commit(NamedTuple):
    """A commit of the user's repository; `branch` is null when HEAD is detached."""

    oid: str
    tree: str
    branch: str | None


class RunName(NamedTuple):
    """A run as a person knows it."""

    run_id: str
    name: str


def head(top: str) -> Commit | None:
    """Return what is checked out at `top`; None without a commit, or without git."""
    try:
        out = gitcommand.run(top, "rev-parse", "HEAD", "HEAD^{tree}", "--abbrev-ref", "HEAD")
    except GitFailed:
        return None
    oid, tree, branch = out.decode("utf-8", "replace").split("\n")[:3]
    return Commit(oid, tree, None if branch == "HEAD" else branch)


def mark(book: BookPaths, top: str, commit: Commit, *, seconds: float) -> list[RunName]:
    """Mark the runs of this commit's tree as committed, newest first, for so many seconds.

    A run that an ancestor of the commit has already keeps that one; after an amend or a rebase
    the new commit is recorded, and the newest counts. Returns the runs that were marked now.
    """
    marked: list[RunName] = []
    for paths, conditions in runs_of_tree(book, commit.tree, seconds=seconds):
        facts = Facts(paths)
        try:
            facts.refresh()
        except OSError:
            continue  # removed while we look
        known = commit_of(facts, conditions)
        if known is not None and _is_in(top, known, commit.oid):
            continue
        if _record(paths, commit):
            marked.append(RunName(paths.id, name_of(facts, paths)))
    return marked


def runs_of_tree(
    book: BookPaths, tree: str, *, seconds: float
) -> Iterator[tuple[RunPaths, dict[str, Any]]]:
    """Yield the runs whose snapshot is this tree with their conditions, newest first."""
    end = time.monotonic() + seconds
    for run_id in book.run_ids():
        if time.monotonic() > end:
            return
        paths = book.run(run_id)
        for conditions in _conditions(paths, tree):
            snapshot = conditions.get("snapshot")
            if isinstance(snapshot, dict) and snapshot.get("tree") == tree:
                yield paths, conditions
                break


def was_run(book: BookPaths, tree: str) -> bool:
    """Whether some run's snapshot is this tree: the store of its code says so."""
    from labbook.conditions.store import ObjectStore

    return ObjectStore(book.code).ref(f"trees/{tree}") is not None


def commit_of(facts: Facts, conditions: dict[str, Any]) -> str | None:
    """Return the commit that has a run's code, as far as it is known; None when none has it."""
    committed = facts.fact("committed")
    if isinstance(committed, dict) and isinstance(committed.get("commit"), str):
        return str(committed["commit"])
    snapshot, git = conditions.get("snapshot"), conditions.get("git")
    if not isinstance(snapshot, dict) or not isinstance(git, dict):
        return None
    is_clean = snapshot.get("tree") is not None and snapshot["tree"] == snapshot.get("base_tree")
    return as_text(git.get("commit")) if is_clean else None


def name_of(facts: Facts, paths: RunPaths) -> str:
    """Return the name a run has now."""
    return as_text(facts.fact("name")) or as_text(facts.identity.get("name")) or paths.id


def _conditions(paths: RunPaths, tree: str) -> Iterator[dict[str, Any]]:
    """The conditions that speak of a tree: most runs have others, and are not parsed."""
    for attempt in entries(paths.attempts):
        for entry in entries(attempt.path):
            if entry.name.endswith(".json") and not entry.name.endswith(".end.json"):
                try:
                    if _speaks_of(entry, tree):
                        yield read_object(entry.path)
                except (OSError, DamagedFile):
                    continue  # `labbook doctor` says so


def _speaks_of(entry: os.DirEntry[str], tree: str) -> bool:
    if not entry.is_file(follow_symlinks=False):
        return False
    with open(entry.path, "rb") as file:
        return tree.encode() in file.read(MAX_BYTES)


def _is_in(top: str, known: str, commit: str) -> bool:
    """Whether a commit is an ancestor of another, or itself."""
    if known == commit:
        return True
    if not known.isalnum():
        return False
    try:
        gitcommand.run(top, "merge-base", "--is-ancestor", known, commit)
    except GitFailed:
        return False
    return True


def _record(paths: RunPaths, commit: Commit) -> bool:
    from labbook.client.identity import random_word
    from labbook.client.writing import touch_folder, write_json

    value = {"commit": commit.oid, "tree": commit.tree, "branch": commit.branch}
    body = {"fact": "committed", "time_ns": time.time_ns(), "committed": value, "by": "git hook"}
    try:
        os.makedirs(paths.meta, exist_ok=True)
        write_json(Path(paths.meta, f"committed-{random_word()}.json"), body)
    except OSError:
        return False  # a book that cannot be written: nothing is claimed
    touch_folder(paths.root)
    return True
