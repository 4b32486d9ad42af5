"""Git's normal form of files: what git would commit, where that is not the bytes on disk.

Line endings (`text`, `eol`, `core.autocrlf`), `ident`, `working-tree-encoding` and filters make
the two differ. The normal form gives the snapshot the very tree that a commit would have; the
bytes themselves are stored beside it. Repositories without any such setting pay nothing here.

Filters of the user's own configuration run as they do in `git status`; a filter that fails or is
missing is left out. git-lfs never runs: it would write into the user's `.git`; its pointer is
three lines, made here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from labbook.conditions import gitcommand, indexfile
from labbook.conditions.gitcommand import GitFailed
from labbook.conditions.limits import Deadline

__all__ = [
    "Conversions",
    "attributes",
    "differing",
    "inspect",
    "lfs_pointer",
    "normal_ids",
]

_LFS_FIRST_LINE = b"version https://git-lfs.github.com/spec/v1\n"


class Conversions(NamedTuple):
    """Whether git may convert files here, and the filters that are configured."""

    are_possible: bool
    filters: tuple[str, ...] = ()

    @property
    def has_lfs(self) -> bool:
        """Whether git-lfs is set up: otherwise git itself takes its files as they are."""
        return "lfs" in self.filters


def inspect(top: Path, git_dir: Path, config: Mapping[str, str], index: bytes) -> Conversions:
    """Find out from configuration and attribute files, without asking for a single file."""
    names = {key.split(".", 1)[1].rpartition(".")[0] for key in config if key.startswith("filter.")}
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    others = [
        top / ".gitattributes",
        git_dir / "info/attributes",
        Path(config.get("core.attributesfile", os.path.join(home, "git/attributes"))).expanduser(),
    ]
    possible = (
        config.get("core.autocrlf", "false").lower() not in {"false", "0", "no", "off", ""}
        or b".gitattributes" in index
        or any(os.path.exists(path) for path in others)
    )
    return Conversions(possible, tuple(sorted(names)))


def attributes(
    top: Path, paths: Sequence[str], names: Sequence[str], deadline: Deadline
) -> dict[str, dict[str, str]]:
    """Return {path: {attribute: value}} for those that are specified; raises `GitFailed`."""
    data = b"".join(os.fsencode(path) + b"\0" for path in paths)
    out = gitcommand.run(
        str(top), "check-attr", "-z", "--stdin", *names, limit_s=deadline.left(), data=data
    )
    fields = out.split(b"\0")
    found: dict[str, dict[str, str]] = {}
    for path, name, value in zip(fields[0::3], fields[1::3], fields[2::3], strict=False):
        if value != b"unspecified":
            found.setdefault(os.fsdecode(path), {})[name.decode()] = value.decode()
    return found


def normal_ids(
    top: Path, objects: Path, paths: Sequence[str], conversions: Conversions, deadline: Deadline
) -> dict[str, str]:
    """Store the normal form of regular files in `objects` and return {path: blob}.

    Files of git-lfs get the blob of their bytes here. Raises `GitFailed` when out of time.
    """
    if not paths:
        return {}
    lfs = [name for name in conversions.filters if name == "lfs"]
    for broken in (lfs, conversions.filters):
        config = gitcommand.neutral(broken)
        try:
            return _hash(top, objects, paths, config, deadline)
        except GitFailed as error:
            if error.timed_out:
                raise
    return {}


def lfs_pointer(data: bytes) -> bytes:
    """Return what `git lfs clean` makes of a file: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""
    if not data or (len(data) < 1024 and data.startswith(_LFS_FIRST_LINE)):
        return data
    digest = hashlib.sha256(data).hexdigest()
    return _LFS_FIRST_LINE + f"oid sha256:{digest}\nsize {len(data)}\n".encode()


def differing(
    top: Path, index: bytes, changed: Iterable[str], conversions: Conversions, deadline: Deadline
) -> dict[str, str]:
    """Return {path: blob in git} of unchanged files whose bytes may differ from that blob.

    A file and its normal form nearly always differ in size; those with a filter are taken whatever
    their size. Raises `GitFailed`.
    """
    skip = {os.fsencode(path) for path in changed}
    entries = [
        entry
        for entry in indexfile.read(index)
        if entry.mode & 0o170000 == 0o100000 and entry.path not in skip
    ]
    if not entries:
        return {}
    sizes = _sizes(top, [entry.oid for entry in entries], deadline)
    found = {
        os.fsdecode(entry.path): entry.oid
        for entry, size in zip(entries, sizes, strict=True)
        if size is not None and size != entry.size
    }
    if any(name != "lfs" for name in conversions.filters):
        blobs = {os.fsdecode(entry.path): entry.oid for entry in entries}
        filtered = attributes(top, list(blobs), ["filter"], deadline)
        known = {path for path, value in filtered.items() if value["filter"] in conversions.filters}
        found |= {path: blobs[path] for path in known}
    return found


def keeps_crlf(top: Path, path: str, index_oid: str, deadline: Deadline) -> bool:
    """Whether git leaves CRLF alone as the committed file has it (convert.c, has_crlf_in_index)."""
    text = attributes(top, [path], ["text", "eol"], deadline).get(path, {})
    if text.get("text", "auto") != "auto" or (text.get("text") is None and "eol" in text):
        return False
    committed = gitcommand.run(str(top), "cat-file", "blob", index_oid, limit_s=deadline.left())
    return b"\r\n" in committed and b"\0" not in committed


def _hash(
    top: Path, objects: Path, paths: Sequence[str], config: tuple[str, ...], deadline: Deadline
) -> dict[str, str]:
    extra = {"GIT_OBJECT_DIRECTORY": str(objects)}
    config = (*config, "core.safecrlf=false")
    plain = [path for path in paths if "\n" not in path]
    # "./" keeps git from taking a name that begins with a quote for a quoted name
    data = b"".join(b"./" + os.fsencode(path) + b"\n" for path in plain)
    found: dict[str, str] = {}
    if plain:
        out = gitcommand.run(
            str(top), "hash-object", "-w", "--stdin-paths",
            limit_s=deadline.left(), extra=extra, data=data, config=config,
        )  # fmt: skip
        found.update(zip(plain, out.decode().split(), strict=True))
    for path in paths:
        if path not in found:
            out = gitcommand.run(
                str(top), "hash-object", "-w", "--", path,
                limit_s=deadline.left(), extra=extra, config=config,
            )  # fmt: skip
            found[path] = out.decode().strip()
    return found


def _sizes(top: Path, oids: Sequence[str], deadline: Deadline) -> list[int | None]:
    """Sizes of blobs in the user's repository; None for what it does not have."""
    data = "\n".join(oids).encode() + b"\n"
    out = gitcommand.run(
        str(top), "cat-file", "--batch-check=%(objectsize)", "--buffer",
        limit_s=deadline.left(), data=data,
    )  # fmt: skip
    return [int(line) if line.isdigit() else None for line in out.splitlines()]
