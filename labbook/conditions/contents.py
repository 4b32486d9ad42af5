"""Stores what the committed tree does not have: dirty files, and bytes that git would convert."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

from labbook.conditions import normal, recorder, walk
from labbook.conditions.gitcommand import GitFailed
from labbook.conditions.job import Job, Recorded
from labbook.conditions.limits import Candidate, LeftOut, choose
from labbook.conditions.normal import Conversions
from labbook.conditions.repository import Entry

__all__ = ["dirty_files", "is_gone", "other_bytes"]


def dirty_files(job: Job, entries: list[Entry], conversions: Conversions) -> Recorded:
    """Store modified and untracked files, within the limits."""
    found: list[Candidate] = []
    odd: list[LeftOut] = []
    for entry in entries:
        if entry.is_submodule or is_gone(job, entry):
            continue
        candidate = walk.candidate(
            job.top, entry.path, is_tracked=entry.status != "untracked", mode=entry.mode,
            modes_count=job.modes_count,
        )  # fmt: skip
        if candidate is None:
            odd.append(LeftOut(entry.path, 0, 0.0, "is no file and no link, or cannot be reached"))
        else:
            found.append(candidate)
    choice = choose(found, job.limits)
    job.spend(choice.taken)
    recorded = recorder.record(job, choice.taken, conversions)
    if conversions.are_possible:
        _keep_committed_line_ends(job, entries, recorded)
    recorded.left_out = odd + choice.left_out + recorded.left_out
    return recorded


def is_gone(job: Job, entry: Entry) -> bool:
    """Whether a tracked path is no longer in the working tree (or no longer tracked)."""
    if entry.status == "untracked":
        return False
    return entry.status == "deleted" or not os.path.lexists(job.top / entry.path)


def other_bytes(job: Job, index: bytes, entries: list[Entry], conversions: Conversions) -> Recorded:
    """Store unchanged files whose bytes are not their blob's.

    Nothing is asked of git while neither the index nor the list of dirty files has changed.
    """
    if not conversions.are_possible:
        return Recorded()
    dirty = [entry.path for entry in entries]
    key = hashlib.sha256(index + os.fsencode("\0".join(dirty))).hexdigest()
    known = job.cache.notes.get("rest")
    if known and known["key"] == key:
        return Recorded(raw=dict(known["raw"]), left_out=[LeftOut(*i) for i in known["left_out"]])
    try:
        blobs = normal.differing(job.top, index, dirty, conversions, job.deadline)
    except GitFailed as error:
        why = f"files that git converts could not be found: {error}"
        return Recorded(left_out=[LeftOut("./", 0, 0.0, why)], is_out_of_time=error.timed_out)
    found = (walk.candidate(job.top, path, is_tracked=True) for path in blobs)
    choice = choose((candidate for candidate in found if candidate is not None), job.left())
    job.spend(choice.taken)
    rest = recorder.record_bytes(job, blobs, choice.taken)
    rest.left_out = [
        replace(item, why=f"{item.why}; its form in git is recorded")
        for item in choice.left_out + rest.left_out
    ]
    if not rest.is_out_of_time:
        left_out = [[i.path, i.bytes, i.mtime, i.why] for i in rest.left_out]
        job.cache.note("rest", {"key": key, "raw": rest.raw, "left_out": left_out})
    return rest


def _keep_committed_line_ends(job: Job, entries: list[Entry], recorded: Recorded) -> None:
    """Undo the conversion to LF where git itself would not do it for this very file."""
    known = job.cache.notes.get("line_ends", {})
    answers: dict[str, list[str | bool]] = {}
    for entry in entries:
        raw, leaf = recorded.raw.get(entry.path), recorded.leaves.get(entry.path)
        if raw is None or leaf is None or leaf == entry.head or not entry.index_oid.strip("0"):
            continue
        answer = known.get(entry.path)
        if answer is None or answer[0] != entry.index_oid:
            try:
                keeps = normal.keeps_crlf(job.top, entry.path, entry.index_oid, job.deadline)
            except GitFailed:
                continue
            answer = [entry.index_oid, keeps]
        answers[entry.path] = answer
        if answer[1]:
            recorded.leaves[entry.path] = (leaf[0], raw)
            del recorded.raw[entry.path]
    job.cache.note("line_ends", answers)
