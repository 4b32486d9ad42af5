"""Reads files of the working tree and stores their bytes, each at most once while unchanged."""

from __future__ import annotations

import os
import stat as modes
import time
from collections.abc import Sequence
from typing import NamedTuple

from labbook.conditions import normal
from labbook.conditions.cache import is_settled
from labbook.conditions.gitcommand import GitFailed
from labbook.conditions.job import Job, Recorded
from labbook.conditions.limits import OUT_OF_TIME, Candidate, left_out
from labbook.conditions.normal import Conversions
from labbook.conditions.trees import LINK_MODE

__all__ = ["record", "record_bytes"]

_MOST_CHECKED = 10_000


class _Read(NamedTuple):
    """A file just read: the stat its bytes belong to, their blob, and its git-lfs pointer's."""

    candidate: Candidate
    stat: os.stat_result
    blob: str
    pointer: str | None = None


def record(job: Job, files: Sequence[Candidate], conversions: Conversions) -> Recorded:
    """Store files and links; those the cache knows are not read.

    Never raises for a single file: one that cannot be read, has gone or has become something else
    is left out, with the reason. Raises `OSError` when the store cannot be written.
    """
    found = Recorded()
    read: list[_Read] = []
    _let_times_settle(files)
    for candidate in files:
        known = job.cache.get(candidate.path, candidate.stat)
        if known is not None:
            _add(found, candidate, *known)
        elif job.deadline.passed():
            _run_out(found, candidate)
        elif candidate.mode == LINK_MODE:
            _record_link(job, candidate, found)
        else:
            item = _store_file(job, candidate, found, conversions.has_lfs)
            read += [item] if item is not None else []
    _add_normal(job, read, conversions, found)
    return found


def record_bytes(job: Job, blobs: dict[str, str], files: Sequence[Candidate]) -> Recorded:
    """Store the bytes of unchanged tracked files where they differ from `blobs`, git's form."""
    found = Recorded()
    for candidate in files:
        in_git = blobs[candidate.path]
        known = job.cache.get(candidate.path, candidate.stat)
        if known is not None:
            blob = known[1]
        elif job.deadline.passed():
            _run_out(found, candidate)
            continue
        else:
            item = _store_file(job, candidate, found)
            if item is None:
                continue
            blob = item.blob
            job.cache.put(candidate.path, item.stat, in_git, blob)
        if blob != in_git:
            found.raw[candidate.path] = blob
    return found


def _add(found: Recorded, candidate: Candidate, normal_id: str, raw_id: str) -> None:
    found.leaves[candidate.path] = (candidate.mode, normal_id)
    if raw_id != normal_id:
        found.raw[candidate.path] = raw_id


def _run_out(found: Recorded, candidate: Candidate) -> None:
    found.is_out_of_time = True
    found.left_out.append(left_out(candidate, OUT_OF_TIME))


def _record_link(job: Job, candidate: Candidate, found: Recorded) -> None:
    try:
        target = os.readlink(os.fsencode(job.top / candidate.path))
    except OSError as error:
        found.left_out.append(left_out(candidate, f"cannot be read: {error.strerror}"))
        return
    found.leaves[candidate.path] = (candidate.mode, job.store.write("blob", target))


def _store_file(
    job: Job, candidate: Candidate, found: Recorded, has_lfs: bool = False
) -> _Read | None:
    """Store a file's bytes; None when it had to be left out."""
    try:
        # a link put in the file's place must not be followed, nor a fifo waited for
        handle = os.open(job.top / candidate.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            stat = os.fstat(handle)
            if not modes.S_ISREG(stat.st_mode):
                raise OSError(0, "not a regular file")
            data = file.read(candidate.stat.st_size + 1)
    except OSError as error:
        found.left_out.append(left_out(candidate, f"cannot be read: {error.strerror}"))
        return None
    if len(data) != candidate.stat.st_size:
        found.left_out.append(left_out(candidate, "changed while it was read"))
        return None
    found.n_read += 1
    pointer = job.store.write("blob", normal.lfs_pointer(data)) if has_lfs else None
    return _Read(candidate, stat, job.store.write("blob", data), pointer)


def _add_normal(job: Job, read: list[_Read], conversions: Conversions, found: Recorded) -> None:
    """Add the files just read in git's normal form, and remember them."""
    ids: dict[str, str] = {}
    if conversions.are_possible and read:
        try:
            ids = _normal_ids(job, read, conversions)
        except GitFailed as error:
            found.is_out_of_time = found.is_out_of_time or error.timed_out
    for item in read:
        normal_id = ids.get(item.candidate.path, item.blob)
        _add(found, item.candidate, normal_id, item.blob)
        if not conversions.are_possible or item.candidate.path in ids:
            job.cache.put(item.candidate.path, item.stat, normal_id, item.blob)


def _normal_ids(job: Job, read: list[_Read], conversions: Conversions) -> dict[str, str]:
    paths = [item.candidate.path for item in read]
    ids = normal.normal_ids(job.top, job.store.objects, paths, conversions, job.deadline)
    if conversions.has_lfs:
        asked = normal.attributes(job.top, paths, ["filter"], job.deadline)
        of_lfs = {path for path, value in asked.items() if value["filter"] == "lfs"}
        for item in read:
            if item.pointer is not None and item.candidate.path in of_lfs:
                ids[item.candidate.path] = item.pointer
    return ids


def _let_times_settle(files: Sequence[Candidate]) -> None:
    """Wait one tick of the clock, at most once, for files written in this very moment.

    Otherwise a second edit within the tick would leave the same times, and the cache would take
    the file for unchanged ever after.
    """
    if any(not is_settled(candidate.stat) for candidate in files[:_MOST_CHECKED]):
        time.sleep(0.02)
