"""Describes the user's git repository without touching it.

Plain `git` in child processes: GitPython takes 60 ms to import, which is more than all of these
calls together, and `start()` is on the way to the first training step. Its `Git` class runs the
same commands. One `status` gives commit, branch, upstream and dirty files; `describe` and the
remotes run beside it.

Invariants: no lock and no refresh of the user's index (`GIT_OPTIONAL_LOCKS=0`), no hook, no
file-system monitor, no network, no prompt, no `GIT_DIR` inherited from a hook or a rebase, and
every call ends within its time limit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labbook.conditions import secrets

__all__ = [
    "Entry",
    "GitFailed",
    "Status",
    "describe",
    "end",
    "environment",
    "options",
    "parse_status",
    "run",
]

LIMIT_S = 2.0
"""Longest a `status` may take before untracked files are left unlisted."""

_KEPT = frozenset({
    # what the user set for every git, not what a git command set for its children
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH",
    "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM",
})  # fmt: skip
_STATUS = {
    "M": "modified",
    "T": "modified",
    "A": "added",
    "D": "deleted",
    "R": "renamed",
    "C": "added",
}


class GitFailed(Exception):
    """A git command failed, is missing, or took too long; `str()` is the reason, one line."""

    timed_out = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One path that differs from HEAD.

    `index_oid` is the blob in the index, `mode` that of the working tree (octal text, `000000`
    when absent); both are empty for untracked files. `is_submodule` says it is a gitlink.
    """

    path: str
    status: str
    mode: str = ""
    index_oid: str = ""
    is_submodule: bool = False
    old_path: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What `git status` said; `untracked_known` is False where listing them took too long."""

    commit: str | None
    branch: str | None
    upstream: str | None = None
    ahead: int | None = None
    behind: int | None = None
    entries: list[Entry] = field(default_factory=list)
    untracked_known: bool = True


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a git child: ours, without what would point it elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _KEPT}
    kept |= {
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",  # a partial clone would go to the network
        "GIT_LITERAL_PATHSPECS": "1",
        "LC_ALL": "C",
    }
    return kept | dict(extra or {})


def options() -> list[str]:
    """Return the options every git call gets, before the verb."""
    settings = {
        "safe.directory": "*",  # containers often run as another user than the files' owner
        "core.fsmonitor": "false",
        "core.hooksPath": os.devnull,
        "protocol.allow": "never",
        "gc.auto": "0",
        "maintenance.auto": "false",
    }
    return [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]


def start(
    folder: str,
    *arguments: str,
    extra: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    config: tuple[str, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start git in `folder`; raises `GitFailed` when there is no git, or no such folder."""
    settings = [word for setting in config for word in ("-c", setting)]
    try:
        return subprocess.Popen(
            ["git", *options(), *settings, *arguments],
            cwd=folder, env=environment(extra),
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
        )  # fmt: skip
    except FileNotFoundError as error:
        missing = "git is not installed, or not on PATH"
        raise GitFailed(missing if os.path.isdir(folder) else f"no folder {folder}") from error
    except OSError as error:
        raise GitFailed(f"git cannot be run: {error}") from error


def finish(child: subprocess.Popen[bytes], limit_s: float, data: bytes | None = None) -> bytes:
    """Wait for a git child and return its output; raises `GitFailed`, kills it when out of time."""
    try:
        out, err = child.communicate(data, timeout=max(limit_s, 0.001))
    except subprocess.TimeoutExpired as error:
        end(child)
        failed = GitFailed(f"git took longer than {limit_s:.1f} s")
        failed.timed_out = True
        raise failed from error
    except BaseException:
        end(child)
        raise
    if child.returncode != 0:
        lines = err.decode("utf-8", "replace").strip().splitlines()
        said = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
        text = said[0] if said else f"exit code {child.returncode}"
        raise GitFailed(text.removeprefix("fatal: ").removeprefix("error: "))
    return out


def run(
    folder: str,
    *arguments: str,
    limit_s: float = LIMIT_S,
    data: bytes | None = None,
    extra: Mapping[str, str] | None = None,
    config: tuple[str, ...] = (),
) -> bytes:
    """Run git in `folder` and return its output; raises `GitFailed`."""
    stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
    child = start(folder, *arguments, extra=extra, stdin=stdin, config=config)
    return finish(child, limit_s, data)


def describe(
    folder: str | os.PathLike[str], limit_s: float = LIMIT_S
) -> tuple[dict[str, Any] | None, str | None]:
    """Return (`git` of the conditions, None), or (None, why there is none).

    Never raises. In a repository without a commit, `commit` is null and every file is untracked
    or added.
    """
    folder = os.fspath(folder)
    started = time.monotonic()
    children: list[subprocess.Popen[bytes]] = []
    try:
        children.append(start(folder, "describe", "--tags", "--always"))
        children.append(
            start(
                folder,
                "config",
                "--null",
                "--get-regexp",
                r"^(remote\..*\.url|branch\..*\.remote)$",
            )
        )
        status = read_status(folder, limit_s=limit_s)
        rest = [_optional(child, started + limit_s - time.monotonic()) for child in children]
    except GitFailed as error:
        return None, _reason(str(error), folder)
    finally:
        for child in children:
            end(child)
    return as_condition(status, rest[0], rest[1]), None


def read_status(
    folder: str, *, limit_s: float = LIMIT_S, extra: Mapping[str, str] | None = None
) -> Status:
    """Run `git status`, without untracked files where they take too long; raises `GitFailed`."""
    verb = ("status", "--porcelain=2", "--branch", "-z", "--ignore-submodules=none")
    config = ("status.renames=true", "core.splitIndex=false")
    try:
        out = run(
            folder, *verb, "--untracked-files=all", limit_s=limit_s, extra=extra, config=config
        )
    except GitFailed as error:
        if not error.timed_out:
            raise
        out = run(
            folder, *verb, "--untracked-files=no", limit_s=limit_s, extra=extra, config=config
        )
        return parse_status(out, untracked_known=False)
    return parse_status(out)


def parse_status(out: bytes, untracked_known: bool = True) -> Status:
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
        ahead=ahead, behind=behind, entries=entries, untracked_known=untracked_known,
    )  # fmt: skip


def as_condition(status: Status, described: bytes | None, remotes: bytes | None) -> dict[str, Any]:
    """Return the `git` object of the conditions file."""
    result: dict[str, Any] = {
        "commit": status.commit,
        "branch": status.branch,
        "remote": _remote(remotes or b"", status.branch),
        "describe": described.decode("utf-8", "replace").strip() if described else None,
        "dirty": [_dirty(entry) for entry in status.entries],
        "ahead": status.ahead,
        "behind": status.behind,
        "detached": status.branch is None,
    }
    if not status.untracked_known:
        result["untracked"] = "not listed: git took too long to find them"
    return result


def _dirty(entry: Entry) -> dict[str, str]:
    found = {"path": entry.path, "status": entry.status}
    return found | {"from": entry.old_path} if entry.old_path else found


def _entry(raw: bytes, old_path: str | None) -> Entry:
    kind = raw[:1]
    if kind == b"?":
        return Entry(os.fsdecode(raw[2:]), "untracked")
    if kind == b"u":  # u XY sub m1 m2 m3 mW h1 h2 h3 path
        parts = raw.split(b" ", 10)
        return Entry(
            os.fsdecode(parts[10]), "conflicted", parts[6].decode(), "", parts[2][:1] == b"S"
        )
    # 1 XY sub mH mI mW hH hI path | 2 XY sub mH mI mW hH hI score path
    parts = raw.split(b" ", 9 if kind == b"2" else 8)
    return Entry(
        path=os.fsdecode(parts[-1]),
        status=_word(parts[1].decode()),
        mode=parts[5].decode(),
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


def _remote(out: bytes, branch: str | None) -> str | None:
    """URL of the branch's remote, else of `origin`, else of the only one, without credentials."""
    settings: dict[str, str] = {}
    for item in out.split(b"\0"):
        key, _, value = item.decode("utf-8", "replace").partition("\n")
        settings.setdefault(key, value)
    urls = {k[7:-4]: v for k, v in settings.items() if k.startswith("remote.")}
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


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill a git child that still runs, with the filters it started: they hold its pipes open."""
    if child.returncode is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has just ended by itself
        child.communicate()


def _reason(text: str, folder: str) -> str:
    if "not a git repository" in text:
        return f"{folder} is not in a git repository"
    if "must be run in a work tree" in text:
        return f"{folder} is in a bare git repository, without a working tree"
    return text
