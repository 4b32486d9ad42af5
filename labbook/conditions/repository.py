"""Describes the user's git repository without touching it: commit, branch, remote, dirty files.

One `git status` gives nearly everything; `describe` and the configuration run beside it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from labbook.conditions import secrets
from labbook.conditions.gitcommand import (
    LIMIT_S,
    GitFailed,
    end,
    finish,
    neutral,
    run,
    running,
    start,
)

__all__ = [
    "Entry",
    "Status",
    "as_condition",
    "describe",
    "described",
    "parse_status",
    "read_settings",
    "read_status",
    "said",
]

_STATUS = {
    "M": "modified",
    "T": "modified",
    "A": "added",
    "D": "deleted",
    "R": "renamed",
    "C": "added",
}


class Entry(NamedTuple):
    """One path that differs from HEAD.

    `index_oid` is the blob in the index, `mode` that of the working tree (octal text, `000000`
    when absent), `head` is (mode, blob) in HEAD; all are empty for untracked files.
    `is_submodule` says it is a gitlink.
    """

    path: str
    status: str
    mode: str = ""
    index_oid: str = ""
    head: tuple[str, str] = ("", "")
    is_submodule: bool = False
    old_path: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What `git status` said; `untracked_known` is False where listing them took too long.

    `without_filters` says that a filter is broken (git-lfs is not installed, as a rule), so that
    files it would convert may be listed as modified though they are not.
    """

    commit: str | None
    branch: str | None
    upstream: str | None = None
    ahead: int | None = None
    behind: int | None = None
    entries: list[Entry] = field(default_factory=list)
    untracked_known: bool = True
    without_filters: bool = False


def describe(
    folder: str | os.PathLike[str], limit_s: float = LIMIT_S
) -> tuple[dict[str, Any] | None, str | None]:
    """Return (`git` of the conditions, None), or (None, why there is none).

    Never raises. In a repository without a commit, `commit` is null and every file is untracked
    or added.
    """
    folder = os.fspath(folder)
    asked = ("config", "--null", "--get-regexp", r"^(remote\..*\.url|branch\..*\.remote)$")
    try:
        with described(folder, limit_s) as name, running(folder, *asked) as remotes:
            status = read_status(folder, limit_s=limit_s)
            settings = read_settings(_optional(remotes, limit_s) or b"")
            return as_condition(status, name(), settings), None
    except GitFailed as error:
        return None, said(str(error), folder)


@contextmanager
def described(folder: str, limit_s: float = LIMIT_S) -> Iterator[Callable[[], bytes | None]]:
    """Run `git describe` during the block; the function given waits for it (None: no answer)."""
    started = time.monotonic()
    try:
        child = start(folder, "describe", "--tags", "--always")
    except GitFailed:
        yield lambda: None
        return
    try:
        yield lambda: _optional(child, started + limit_s - time.monotonic())
    finally:
        end(child)


def read_status(
    folder: str, *, limit_s: float = LIMIT_S, extra: Mapping[str, str] | None = None
) -> Status:
    """Run `git status`; once more without what made it fail. Raises `GitFailed`.

    Too slow: without untracked files. A filter that is configured but missing: without filters.
    """
    try:
        return parse_status(_status(folder, "all", limit_s, extra))
    except GitFailed as error:
        if error.timed_out:
            return replace(
                parse_status(_status(folder, "no", limit_s, extra)), untracked_known=False
            )
        without = _without_filters(folder)
        if not without:
            raise
        out = _status(folder, "all", limit_s, extra, without)
        return replace(parse_status(out), without_filters=True)


def _status(
    folder: str,
    untracked: str,
    limit_s: float,
    extra: Mapping[str, str] | None,
    more: tuple[str, ...] = (),
) -> bytes:
    verb = ("status", "--porcelain=2", "--branch", "-z", "--ignore-submodules=none")
    config = ("status.renames=true", "core.splitIndex=false", *more)
    return run(
        folder, *verb, f"--untracked-files={untracked}", limit_s=limit_s, extra=extra, config=config
    )


def _without_filters(folder: str) -> tuple[str, ...]:
    try:
        out = run(folder, "config", "--null", "--name-only", "--get-regexp", r"^filter\.")
    except GitFailed:
        return ()
    return neutral(
        {key.split(".", 1)[1].rpartition(".")[0] for key in out.decode().split("\0") if key}
    )


def parse_status(out: bytes) -> Status:
    """Parse `--porcelain=2 --branch -z` (git-status(1), "Porcelain Format Version 2")."""
    headers: dict[str, str] = {}
    entries: list[Entry] = []
    fields = iter(out.split(b"\0"))
    for raw in fields:
        if raw.startswith(b"# "):
            key, _, value = raw[2:].decode("utf-8", "replace").partition(" ")
            headers[key] = value
        elif raw:
            old_path = os.fsdecode(next(fields, b"")) if raw.startswith(b"2 ") else None
            entries.append(_entry(raw, old_path))
    ahead, behind = _ahead_behind(headers.get("branch.ab"))
    commit, branch = headers.get("branch.oid"), headers.get("branch.head")
    return Status(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        upstream=headers.get("branch.upstream"),
        ahead=ahead, behind=behind, entries=entries,
    )  # fmt: skip


def as_condition(
    status: Status, described: bytes | None, settings: Mapping[str, str]
) -> dict[str, Any]:
    """Return the `git` object of the conditions file; `settings` are git's configuration."""
    result: dict[str, Any] = {
        "commit": status.commit,
        "branch": status.branch,
        "remote": _remote(settings, status.branch),
        "describe": described.decode("utf-8", "replace").strip() if described else None,
        "dirty": [_dirty(entry) for entry in status.entries],
        "ahead": status.ahead,
        "behind": status.behind,
        "detached": status.branch is None,
    }
    if status.without_filters:
        result["filters"] = "a filter of git is missing: its files may be listed as modified"
    if not status.untracked_known:
        result["untracked"] = "not listed: git took too long to find them"
    return result


def read_settings(out: bytes) -> dict[str, str]:
    """Read `git config --null --list`; the last of several values counts."""
    pairs = (item.decode("utf-8", "surrogateescape").partition("\n") for item in out.split(b"\0"))
    return {key: value for key, _, value in pairs if key}


def _dirty(entry: Entry) -> dict[str, str]:
    found = {"path": entry.path, "status": entry.status}
    return found | {"from": entry.old_path} if entry.old_path else found


def _entry(raw: bytes, old_path: str | None) -> Entry:
    kind = raw[:1]
    if kind == b"?":
        return Entry(os.fsdecode(raw[2:]), "untracked")
    if kind == b"u":  # u XY sub m1 m2 m3 mW h1 h2 h3 path
        parts = raw.split(b" ", 10)
        path, is_submodule = os.fsdecode(parts[10]), parts[2][:1] == b"S"
        return Entry(path, "conflicted", parts[6].decode(), is_submodule=is_submodule)
    # 1 XY sub mH mI mW hH hI path | 2 XY sub mH mI mW hH hI score path
    parts = raw.split(b" ", 9 if kind == b"2" else 8)
    return Entry(
        path=os.fsdecode(parts[-1]),
        status=_word(parts[1].decode()),
        mode=parts[5].decode(),
        head=(parts[3].decode(), parts[6].decode()),
        index_oid=parts[7].decode(),
        is_submodule=parts[2][:1] == b"S",
        old_path=old_path,
    )


def _word(xy: str) -> str:
    """The status of a path against HEAD, from those of the index (X) and the working tree (Y)."""
    staged, unstaged = xy[0], xy[1]
    if unstaged == "D":
        return "deleted"
    return _STATUS.get(staged) or _STATUS.get(unstaged, "modified")


def _ahead_behind(text: str | None) -> tuple[int | None, int | None]:
    if not text:
        return None, None
    ahead, behind = text.split()
    return abs(int(ahead)), abs(int(behind))


def _remote(settings: Mapping[str, str], branch: str | None) -> str | None:
    """URL of the branch's remote, else of `origin`, else of the only one, without credentials."""
    urls = {k[7:-4]: v for k, v in settings.items() if k[:7] + k[-4:] == "remote..url"}
    name = settings.get(f"branch.{branch}.remote", "origin")
    url = (
        urls.get(name)
        or urls.get("origin")
        or (next(iter(urls.values())) if len(urls) == 1 else None)
    )
    return secrets.clean_url(url) if url else None


def _optional(child: subprocess.Popen[bytes], limit_s: float) -> bytes | None:
    try:
        return finish(child, limit_s)
    except GitFailed:
        return None  # no tag and no commit, no remote, or a history too long to search in time


def said(text: str, folder: str) -> str:
    """Return why there is no description, in words that say what folder was asked for."""
    if "not a git repository" in text:
        return f"{folder} is not in a git repository"
    if "must be run in a work tree" in text:
        return f"{folder} is in a bare git repository, without a working tree"
    return text
