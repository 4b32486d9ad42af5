"""Files that the user's own loops write while they are tried out are put back.

Python says before it opens, renames or removes a file (audit events); what torch writes by itself
it says by `torch.save`. What a compiled extension writes is not seen.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["files_kept"]

_MAX_BYTES = 256 << 20
"""A larger file that is written is not kept first: that would take longer than the check."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Keeper:
    """What was there before: a copy, or that there was nothing."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.before: dict[str, Path | None] = {}
        self.made: list[str] = []
        self.busy = False
        self.left_changed: list[str] = []
        self.thread = threading.get_ident()  # others write what is their own: a live run's journal

    def about_to_write(self, path: Any) -> None:
        """Keep what lies at `path`, once."""
        if isinstance(path, int) or self.busy:
            return
        try:
            name = os.path.abspath(os.fsdecode(path))
        except (TypeError, ValueError):
            return
        if name in self.before or name.startswith(("/dev/", "/proc/", "/sys/")):
            return
        self.busy = True
        try:
            self._keep(name)
        except OSError:
            self.left_changed.append(name)
        finally:
            self.busy = False

    def _keep(self, name: str) -> None:
        if not os.path.lexists(name):
            self.before[name] = None
            return
        if not os.path.isfile(name):
            return
        if os.path.getsize(name) > _MAX_BYTES:
            self.left_changed.append(name)
            return
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="labbook-check-"))
        kept = self.folder / str(len(self.before))
        shutil.copy2(name, kept)
        self.before[name] = kept

    def about_to_make(self, path: Any) -> None:
        """Remember a new folder."""
        if self.busy or isinstance(path, int):
            return
        name = os.path.abspath(os.fsdecode(path))
        if not os.path.lexists(name):
            self.made.append(name)

    def put_back(self) -> None:
        """Restore every file, and remove what was not there."""
        self.busy = True
        for name, kept in self.before.items():
            try:
                if kept is None:
                    if os.path.isfile(name):
                        os.unlink(name)
                elif not _equal(name, kept):
                    shutil.copy2(kept, name)
            except OSError:
                self.left_changed.append(name)
        for name in reversed(self.made):
            try:
                os.rmdir(name)
            except OSError:
                pass  # not made after all, or the user's code filled it by other means
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _equal(name: str, kept: Path) -> bool:
    import filecmp

    return os.path.isfile(name) and filecmp.cmp(name, kept, shallow=False)


_keeper: _Keeper | None = None
_is_hooked = False


def _audit(event: str, args: tuple[Any, ...]) -> None:
    keeper = _keeper
    if keeper is None or threading.get_ident() != keeper.thread:
        return
    if event == "open":
        path, mode, flags = args
        writes = isinstance(flags, int) and flags & _WRITING
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            keeper.about_to_write(path)
    elif event == "os.rename":
        keeper.about_to_write(args[0])
        keeper.about_to_write(args[1])
    elif event in {"os.remove", "os.truncate"}:
        keeper.about_to_write(args[0])
    elif event == "os.mkdir":
        keeper.about_to_make(args[0])


@contextmanager
def files_kept() -> Iterator[None]:
    """Put back every file that is written, renamed or removed meanwhile in this thread."""
    global _keeper, _is_hooked  # noqa: PLW0603  # an audit hook cannot be taken away again
    if _keeper is not None:  # nested: the outer one keeps already
        yield
        return
    if not _is_hooked:
        sys.addaudithook(_audit)
        _is_hooked = True
    keeper = _Keeper()
    torch: Any = sys.modules.get("torch")
    save = getattr(torch, "save", None)
    _keeper = keeper
    if torch is not None:
        torch.save = _saying(save, keeper)
    try:
        yield
    finally:
        _keeper = None
        if torch is not None:
            torch.save = save
        keeper.put_back()


def _saying(save: Any, keeper: _Keeper) -> Any:
    import functools

    @functools.wraps(save)
    def saying(obj: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(f, (str, os.PathLike)):  # torch opens those by itself, unseen
            keeper.about_to_write(f)
        return save(obj, f, *args, **kwargs)

    return saying
