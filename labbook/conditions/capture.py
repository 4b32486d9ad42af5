"""Takes one snapshot: asks git what is dirty, stores it, copies the commit, and makes the tree."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from labbook.conditions import (
    contents,
    gitcommand,
    normal,
    publish,
    recorder,
    repository,
    walk,
    worktree,
)
from labbook.conditions.base import BaseCopy
from labbook.conditions.cache import Cache
from labbook.conditions.gitcommand import GitFailed
from labbook.conditions.job import Job, Recorded
from labbook.conditions.limits import OUT_OF_TIME, Deadline, Limits, choose, shorten
from labbook.conditions.normal import Conversions
from labbook.conditions.repository import Entry, Status
from labbook.conditions.snapshot import Snapshot, Taken
from labbook.conditions.store import ObjectStore
from labbook.conditions.trees import GITLINK_MODE, Leaf
from labbook.conditions.worktree import Worktree

__all__ = ["capture"]

_GRACE_S = 0.5
"""For a short question to git after the time limit: without its answer all would be lost."""


def capture(
    folder: Path,
    store: ObjectStore,
    private: Path,
    limits: Limits,
    deadline: Deadline | None = None,
) -> Taken:
    """Capture the working tree that holds a folder, or the folder itself where there is none.

    Raises `GitFailed` and `OSError`.
    """
    tree = worktree.find(folder)
    top = tree.top if tree is not None else folder
    if walk.is_refused(top):
        return Taken(
            Snapshot("none", f"{top} is no folder of one project: its files are not recorded")
        )
    store.create()
    job = Job(
        top,
        store,
        Cache.open(private, top, store.root),
        limits,
        deadline or Deadline(limits.seconds),
    )
    job.prefix = "" if folder == top else folder.relative_to(top).as_posix()
    if not _objects_are_there(job):
        job.cache.forget()
    taken = _of_folder(job) if tree is None else _of_worktree(job, tree, private)
    try:
        job.cache.save()
    except OSError:
        pass  # the next start is slower, this one is complete
    return taken


def _objects_are_there(job: Job) -> bool:
    """Whether what the cache speaks of is still in the store: books get emptied."""
    refs = job.cache.notes.get("refs", {})
    return all(job.store.ref(name) == oid for name, oid in refs.items())


def _of_worktree(job: Job, tree: Worktree, private: Path) -> Taken:
    status, index = _ask(job, tree)
    base_tree = _base_tree(job, status.commit)
    copy = BaseCopy(job, worktree.objects_of(tree), base_tree)
    copy.start(job.cache.notes.get("base_tree"), job.deadline)
    try:
        entries, inside = _split(job, status)
        conversions = normal.inspect(job.top, tree.git_dir, job.settings, index)
        recorded = contents.dirty_files(job, entries, conversions)
        # what git, short of a filter, took for modified
        same = {e for e in entries if not e.old_path and recorded.leaves.get(e.path) == e.head}
        entries = [entry for entry in entries if entry not in same]
        status = replace(status, entries=[e for e in status.entries if e not in same])
        rest = contents.other_bytes(job, index, entries, conversions)
        nested = _nested(job, inside, private)
    finally:
        is_based = copy.finish(job.deadline)
    moved = {entry.path for entry in entries if entry.is_submodule} & nested.keys()
    links: dict[str, Leaf] = {p: (GITLINK_MODE, b) for p in moved if (b := nested[p].base)}
    blank = Snapshot("complete", base=status.commit, base_tree=base_tree, nested=nested)
    if not is_based:
        blank = replace(blank, kind="partial", reason=copy.failure)
    else:
        job.cache.note("base_tree", base_tree)
    if not status.untracked_known:
        recorded.is_out_of_time = True
    snapshot = _assemble(job, blank, entries, (recorded, rest), links)
    return Taken(snapshot, status, job.settings)


def _of_folder(job: Job) -> Taken:
    walked = walk.files(job.top, job.book, job.limits)
    choice = choose(walked.found, job.limits)
    recorded = recorder.record(job, choice.taken, Conversions(False))
    recorded.left_out = walked.left_out + choice.left_out + recorded.left_out
    entries = [Entry(path, "untracked") for path in recorded.leaves]
    snapshot = _assemble(job, Snapshot("complete"), entries, (recorded, Recorded()), {})
    if walked.cut is not None:
        snapshot = replace(snapshot, kind="partial", reason=walked.cut)
    return Taken(snapshot, reason=f"{job.top} is not in a git repository")


def _ask(job: Job, tree: Worktree) -> tuple[Status, bytes]:
    """Git's status and settings, and the bytes of the refreshed index."""
    with gitcommand.running(str(job.top), "config", "--null", "--list") as asking:
        try:
            status, index = _ask_status(job, tree)
        except GitFailed as error:
            if error.timed_out:
                raise
            status, index = _ask_status(job, tree)  # with a fresh copy of the user's index
        out = gitcommand.finish(asking, max(job.deadline.left(), _GRACE_S))
    job.settings = repository.read_settings(out)
    if status.commit is not None and len(status.commit) != 40:
        raise GitFailed("the repository names its objects by SHA-256, which a snapshot cannot hold")
    return status, index


def _ask_status(job: Job, tree: Worktree) -> tuple[Status, bytes]:
    with worktree.private_index(tree, job.cache, job.deadline) as path:
        status = worktree.status(tree, path, job.deadline)
        return status, path.read_bytes() if os.path.exists(path) else b""


def _base_tree(job: Job, commit: str | None) -> str | None:
    """The tree of the commit; asked once a commit."""
    if commit is None:
        return None
    known = job.cache.notes.get("head")
    if not known or known[0] != commit:
        out = gitcommand.run(
            str(job.top), "rev-parse", "--verify", f"{commit}^{{tree}}",
            limit_s=max(job.deadline.left(), _GRACE_S), extra={"GIT_NO_REPLACE_OBJECTS": "1"},
        )  # fmt: skip
        known = [commit, out.decode().strip()]
        job.cache.note("head", known)
    return str(known[1])


def _split(job: Job, status: Status) -> tuple[list[Entry], list[str]]:
    """Tell dirty files from repositories inside this one; the book is neither."""
    book = os.path.relpath(job.book, job.top)
    entries: list[Entry] = []
    inside = _registered(job.top)
    for entry in status.entries:
        if entry.path.rstrip("/") == book or entry.path.startswith(f"{book}/"):
            continue
        if entry.is_submodule or entry.path.endswith("/"):
            inside.append(entry.path.rstrip("/"))
        if not entry.path.endswith("/"):
            entries.append(entry)
    return entries, list(dict.fromkeys(inside))


def _registered(top: Path) -> list[str]:
    """Paths in `.gitmodules`."""
    try:
        text = (top / ".gitmodules").read_text(errors="replace")
    except OSError:
        return []
    pairs = (line.partition("=") for line in text.splitlines())
    return [value.strip().strip('"') for key, _, value in pairs if key.strip() == "path"]


def _nested(job: Job, paths: list[str], private: Path) -> dict[str, Snapshot]:
    """Capture submodules, and repositories that were never added to this one."""
    found: dict[str, Snapshot] = {}
    for path in paths:
        top = Path(os.path.realpath(job.top / path))
        inner = worktree.find(top)
        if inner is None or inner.top != top or not top.is_relative_to(job.top):
            continue  # a submodule that was never initialised is an empty folder
        try:
            found[path] = capture(top, job.store, private, job.left(), job.deadline).snapshot
        except GitFailed as error:
            found[path] = Snapshot("none", str(error))
    return found


def _assemble(
    job: Job,
    blank: Snapshot,
    entries: list[Entry],
    stored: tuple[Recorded, Recorded],
    links: dict[str, Leaf],
) -> Snapshot:
    """Make the snapshot out of what was stored: dirty files, and other bytes of clean ones."""
    recorded, rest = stored
    is_based = blank.kind == "complete"
    leaves = {**links, **recorded.leaves}
    dirty = [entry for entry in entries if entry.status != "untracked"]
    deleted = [entry.path for entry in dirty if contents.is_gone(job, entry)]
    deleted += [entry.old_path for entry in dirty if entry.old_path is not None]
    kept = {*leaves, *deleted}
    omitted = [e.path for e in dirty if e.path not in kept and not e.is_submodule]
    changes: dict[str, Leaf | None] = dict.fromkeys([*deleted, *omitted])
    changes |= leaves
    tree, new_trees = publish.make_tree(job, blank.base_tree, changes)
    job.cache.keep_only(recorded.leaves.keys() | rest.raw.keys())
    if is_based and (recorded.is_out_of_time or rest.is_out_of_time):
        blank = replace(blank, kind="partial", reason=OUT_OF_TIME)
    snapshot = replace(
        blank,
        tree=tree,
        prefix=job.prefix,
        files_modified=tuple(entry.path for entry in dirty),
        files_untracked=tuple(
            e.path for e in entries if e.status == "untracked" and e.path in leaves
        ),
        deleted=tuple(dict.fromkeys(deleted)),
        omitted=tuple(omitted),
        left_out=tuple(shorten(recorded.left_out + rest.left_out)),
        raw={**rest.raw, **recorded.raw},
        n_hashed=recorded.n_read + rest.n_read,
    )
    return publish.publish(job, snapshot, new_trees, recorded.leaves, is_based=is_based)
