"""Runs the user's git without letting it change, ask or wait for anything.

Plain child processes: GitPython, which verbs that nobody waits for use, takes 60 ms to import. That
is more than all that `start()` asks of git, and its `Git` class runs the same commands.

Invariants: no lock and no refresh of the user's index (`GIT_OPTIONAL_LOCKS=0`), no hook, no
file-system monitor, no network, no prompt, no `GIT_DIR` inherited from a hook or a rebase, and
every call ends within its time limit.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

__all__ = [
    "LIMIT_S",
    "GitFailed",
    "ask",
    "end",
    "environment",
    "finish",
    "neutral",
    "options",
    "run",
    "running",
    "start",
]

LIMIT_S = 2.0
"""Longest a `status` may take before untracked files are left unlisted."""

_KEPT = frozenset({
    # what the user set for every git, not what a git command set for its children
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH",
    "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM",
})  # fmt: skip


class GitFailed(Exception):
    """A git command failed, is missing, or took too long; `str()` is the reason, one line."""

    timed_out = False


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


def neutral(filters: Iterable[str]) -> tuple[str, ...]:
    """Return the settings that make git take files of these filters as they are."""
    keys = ("clean=", "smudge=", "process=", "required=false")
    return tuple(f"filter.{name}.{key}" for name in filters for key in keys)


def start(
    folder: str,
    *arguments: str,
    extra: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    config: tuple[str, ...] = (),
    quiet: bool = False,
) -> subprocess.Popen[bytes]:
    """Start git in `folder`; raises `GitFailed` when there is no git, or no such folder."""
    settings = [word for setting in config for word in ("-c", setting)]
    try:
        return subprocess.Popen(
            ["git", *options(), *settings, *arguments],
            cwd=folder, env=environment(extra),
            stdin=stdin, stdout=subprocess.PIPE, process_group=0,
            stderr=subprocess.DEVNULL if quiet else subprocess.PIPE,
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


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill a git child that still runs, with the filters it started: they hold its pipes open."""
    if child.returncode is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has just ended by itself
        child.communicate()


@contextmanager
def running(folder: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run git beside the block; it is killed at the end of the block if it still runs."""
    child = start(folder, *arguments)
    try:
        yield child
    finally:
        end(child)


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


def ask(child: subprocess.Popen[bytes], oid: str) -> tuple[IO[bytes], str, int]:
    """Ask a `cat-file --batch` for an object; returns (stream, kind, size), the bytes to come.

    A newline follows the bytes. Raises `GitFailed` when it is missing or git has ended.
    """
    if child.stdin is None or child.stdout is None:
        raise GitFailed("git was started without pipes")
    try:
        child.stdin.write(f"{oid}\n".encode())
        child.stdin.flush()
    except OSError as error:
        raise GitFailed(f"git cat-file has ended: {error}") from error
    words = child.stdout.readline().split()
    if len(words) != 3:
        raise GitFailed(f"object {oid} is missing")
    return child.stdout, words[1].decode(), int(words[2])
