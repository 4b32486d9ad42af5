"""Real repositories for the tests, with settings that do not come from whoever runs them."""

import os
import subprocess
from pathlib import Path

IDENTITY = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(folder, *arguments, **extra):
    """Run the user's git; returns its output as text."""
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env={**os.environ, **IDENTITY, **extra},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def repository(folder: Path, files=None) -> Path:
    """A repository with one commit of `files` (default two), or without any for `{}`."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    files = {"train.py": "print(1)\n", "src/model.py": "x = 1\n"} if files is None else files
    for name, text in files.items():
        write(folder / name, text)
    if files:
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "first")
    return folder


def write(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def photograph(folder: Path) -> dict:
    """Everything below a folder: names, bytes, modes, times. Equal photographs mean untouched."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        body = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        found[str(path.relative_to(folder))] = (stat.st_mode, stat.st_mtime_ns, stat.st_ino, body)
    return found


def files(folder: Path) -> dict:
    """{path: (git's mode, bytes)} of the working tree, without `.git`."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if ".git" in path.relative_to(folder).parts:
            continue
        if path.is_symlink():
            found[name] = ("120000", os.fsencode(os.readlink(path)))
        elif path.is_file():
            mode = "100755" if path.stat().st_mode & 0o100 else "100644"
            found[name] = (mode, path.read_bytes())
    return found


def tree_of_everything(folder: Path) -> str:
    """The tree that a commit of everything would have, by git itself, in the user's own index."""
    git(folder, "add", "-A")
    return git(folder, "write-tree")
