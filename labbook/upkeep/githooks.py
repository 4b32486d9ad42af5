"""Puts labbook's git hooks into a repository, beside what is there, and takes them out again.

Invariant: a hook that was there keeps its bytes, its mode and its word: it is renamed to
`<name>.before-labbook`, runs first, and `uninstall` renames it back. A hook of ours that somebody
edited is nobody's to remove.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from labbook.errors import MisuseError, StoreError

__all__ = [
    "ALWAYS",
    "OPT_IN",
    "Hook",
    "folder_of",
    "install",
    "scripts",
    "status",
    "uninstall",
]

ALWAYS: Final = ("post-commit", "post-checkout", "post-merge")
"""What `install` puts in."""

OPT_IN: Final = ("pre-commit", "prepare-commit-msg", "pre-push")
"""What `install` puts in when it is named."""

_MARK: Final = "# labbook-hook "
_BEFORE: Final = ".before-labbook"

_BY_NAME: Final = re.compile(
    r"""basename.{0,12}\$\{?0|\$\{0\#\#|\$\(dirname\s"\$0"\)/h"|\$0.{0,20}husky|PROGRAM_NAME
    |argv\[0\]""",
    re.VERBOSE,
)
"""How a hook asks under which name it was called; under another it would do nothing, or harm."""


@dataclass(frozen=True)
class Hook:
    """One hook and what is, or was done, there.

    `state` is `ours`, `edited` (ours, changed since), `other` (somebody else's) or `none`;
    `chained` says that a hook of somebody else's runs before ours; `note` is for the user.
    """

    name: str
    path: Path
    state: Literal["ours", "edited", "other", "none"]
    chained: bool = False
    note: str = ""


def folder_of(place: str | os.PathLike[str]) -> Path:
    """Return the folder git takes this working tree's hooks from; raises `MisuseError`.

    `core.hooksPath` and linked worktrees are git's to know.
    """
    # GitPython here, where nobody waits for its import; gitcommand would switch the hooks off
    import git

    try:
        with git.Repo(place, search_parent_directories=True) as repo:
            named = repo.git.rev_parse("--git-path", "hooks")
            base = repo.working_tree_dir or repo.git_dir
    except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
        raise MisuseError(f"no git repository for hooks at {place}") from error
    except (git.GitCommandError, git.GitCommandNotFound) as error:
        raise MisuseError(f"git cannot be asked for its hooks at {place}: {error}") from error
    return Path(os.path.normpath(Path(base, named).absolute()))


def scripts() -> Path:
    """Return the folder of the scripts: `hooks/git` in a checkout, in `labbook_hooks` else."""
    beside = Path(__file__).resolve().parents[2]
    checkout = beside / "hooks/git"
    return checkout if checkout.is_dir() else beside / "labbook_hooks/git"


def install(folder: Path, names: Iterable[str], *, book: Path | None = None) -> list[Hook]:
    """Put hooks into a folder; returns one `Hook` for each name.

    `book` is built in for books that do not lie at the top of the working tree. Raises
    `StoreError` when the folder cannot be written.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_new = is_new or any(_marks(folder / name)[1:] == ["new"] for name in ALWAYS + OPT_IN)
        return [_install(folder / name, _text(name, book, is_new)) for name in names]
    except OSError as error:
        raise StoreError(f"cannot write the git hooks in {folder}: {error}") from error


def uninstall(folder: Path) -> list[Hook]:
    """Take ours out and put back what was there; returns what was found."""
    found = status(folder)
    made = any(_marks(hook.path)[1:] == ["new"] for hook in found if hook.state == "ours")
    try:
        for hook in found:
            if hook.state != "ours":
                continue
            if hook.chained:
                os.replace(_before(hook.path), hook.path)
            else:
                hook.path.unlink()
        if made and not os.listdir(folder):
            folder.rmdir()
    except OSError as error:
        raise StoreError(f"cannot take the git hooks out of {folder}: {error}") from error
    return found


def status(folder: Path) -> list[Hook]:
    """Say of every hook what is there."""
    return [_state(folder / name) for name in ALWAYS + OPT_IN]


def _state(path: Path) -> Hook:
    if not os.path.lexists(path):
        return Hook(path.name, path, "none")
    marks = _marks(path)
    if not marks:
        return Hook(path.name, path, "other")
    chained = os.path.lexists(_before(path))
    if marks[0] != _digest(path.read_bytes()):
        note = "was edited after labbook put it in: take it out by hand"
        return Hook(path.name, path, "edited", chained, note)
    python = re.search(rb"^python=(.*)$", path.read_bytes(), re.MULTILINE)
    words = shlex.split(os.fsdecode(python[1])) if python else []
    gone = bool(words) and not os.access(words[0], os.X_OK)
    note = f"{words[0]} is gone: `labbook hooks install` names another Python" if gone else ""
    return Hook(path.name, path, "ours", chained, note)


def _install(path: Path, text: bytes) -> Hook:
    now = _state(path)
    before = _before(path)
    if now.state == "edited":
        return now
    if now.state == "other":
        why = _cannot_chain(path)
        if why:
            return Hook(path.name, path, "other", note=why)
        if os.path.lexists(before):
            return Hook(path.name, path, "other", note=f"{before.name} is in the way: left alone")
        os.rename(path, before)
    aside = path.with_name(f".{path.name}.labbook.tmp")
    try:
        aside.write_bytes(text)
        aside.chmod(0o755)
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        if now.state == "other":
            os.rename(before, path)
        raise
    return _state(path)


def _cannot_chain(path: Path) -> str:
    """Why a hook cannot run under another name; nothing when it can."""
    try:
        text = path.read_text(errors="replace") if stat.S_ISREG(path.stat().st_mode) else ""
    except OSError as error:
        return f"cannot be read ({error.strerror}): left alone"
    if not _BY_NAME.search(text):
        return ""
    return "the hook there goes by the name it is called under: left alone"


def _text(name: str, book: Path | None, is_new: bool) -> bytes:
    """One hook: a mark with the digest of what follows, the common head, its own part."""
    head = (scripts() / "head.sh").read_text()
    head = head.replace("@PYTHON@", shlex.quote(os.path.abspath(sys.executable)))
    home = Path(__file__).resolve().parents[2]
    head = head.replace("@HOME@", shlex.quote(os.fspath(home)))
    head = head.replace("@BOOK@", _in_braces(os.fspath(book)) if book else "")
    body = f"{head}\n{(scripts() / name).read_text()}".encode("utf-8", "surrogateescape")
    marks = hashlib.sha256(body).hexdigest() + (" new" if is_new else "")
    return f"#!/bin/sh\n{_MARK}{marks}\n".encode() + body


def _in_braces(path: str) -> str:
    """A path inside `${NAME:-…}`, where quotes do not end a word in every shell."""
    return re.sub(r"([^0-9A-Za-z/._-])", r"\\\1", path)


def _marks(path: Path) -> list[str]:
    """The words of our mark: the digest, and `new` when the folder was; empty: not ours."""
    try:
        with open(path, "rb") as file:
            lines = file.read(200).split(b"\n")
    except OSError:
        return []
    if len(lines) < 3 or not lines[1].startswith(_MARK.encode()):
        return []
    return lines[1].decode("ascii", "replace").removeprefix(_MARK).split()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data.split(b"\n", 2)[2]).hexdigest()


def _before(path: Path) -> Path:
    return path.with_name(path.name + _BEFORE)
