"""What `start()` was asked for, with the environment where it was asked nothing.

An explicit argument wins over `LABBOOK_…`, and that over the project's `pyproject.toml`. Wrong use
raises `MisuseError` here, before anything is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from labbook.client.project import Project
from labbook.conditions.limits import Limits
from labbook.errors import MisuseError
from labbook.paths import component, default_book

__all__ = ["Settings", "mode", "private_cache", "read"]

_DIRTY = ("warn", "refuse", "allow")


class Settings(NamedTuple):
    """The settled arguments of `start()`."""

    book: Path
    name: str | None
    group: str | None
    tags: tuple[str, ...]
    notes: str | None
    dirty: str
    limits: Limits | None
    seed: int | None
    run_id: str | None
    resume: str | None
    resume_step: int | None
    gauges_s: float
    output: bool | str


def mode(environ: Mapping[str, str]) -> str:
    """`on` or `off`, from `LABBOOK_MODE`."""
    value = environ.get("LABBOOK_MODE", "on").strip().lower() or "on"
    if value not in {"on", "off"}:
        raise MisuseError(f"LABBOOK_MODE={value!r}: expected 'on' or 'off'")
    return value


def private_cache(environ: Mapping[str, str]) -> Path:
    """This user's folder for what makes the next start faster; may be deleted at any time."""
    base = environ.get("XDG_CACHE_HOME")
    folder = Path(base) if base and os.path.isabs(base) else Path("~/.cache").expanduser()
    return folder / "labbook"


def read(environ: Mapping[str, str], project: Project | None = None, **given: Any) -> Settings:
    """Settle arguments against the environment, and that against the project's settings."""
    project = project or Project()

    def text(what: str, variable: str) -> str | None:
        value = given[what] if given[what] is not None else environ.get(variable) or None
        if value is not None and not isinstance(value, str):
            raise MisuseError(f"start({what}=...) must be text, got {type(value).__name__}")
        return value

    dirty = text("dirty", "LABBOOK_DIRTY") or project.dirty or "warn"
    if dirty not in _DIRTY:
        raise MisuseError(f"dirty={dirty!r}: expected one of {', '.join(_DIRTY)}")
    run_id = environ.get("LABBOOK_RUN_ID") or None
    if run_id is not None:
        component(run_id, "LABBOOK_RUN_ID")
    return Settings(
        book=_book(given["book"]),
        name=text("name", "LABBOOK_NAME"),
        group=text("group", "LABBOOK_GROUP"),
        tags=_tags(given["tags"], environ.get("LABBOOK_TAGS", "")),
        notes=given["notes"],
        dirty=dirty,
        limits=project.limits,
        seed=_whole("seed", given["seed"]),
        run_id=run_id,
        resume=text("resume", "LABBOOK_RESUME"),
        resume_step=_whole("resume_step", given["resume_step"]),
        gauges_s=_interval(given["gauges"]),
        output=_output(given["output"]),
    )


def _book(given: Any) -> Path:
    if given is None:
        return default_book()
    if not isinstance(given, str | os.PathLike):
        raise MisuseError(f"start(book=...) must be a path, got {type(given).__name__}")
    return Path(os.fspath(given)).expanduser().absolute()


def _tags(given: Any, variable: str) -> tuple[str, ...]:
    if given is None:
        given = [tag.strip() for tag in variable.split(",")]
    elif isinstance(given, str):
        given = [given]
    listed = list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(tag, str) for tag in listed):
        raise MisuseError(f"start(tags=...) must be a list of text, got {given!r}")
    return tuple(dict.fromkeys(tag for tag in listed if tag))


def _whole(what: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise MisuseError(f"start({what}=...) must be a whole number, got {value!r}")
    return int(value.__index__())


def _interval(gauges: Any) -> float:
    if gauges is True:
        return 1.0
    if gauges is None or gauges is False:
        return 0.0
    if not isinstance(gauges, int | float) or not 0 <= gauges < float("inf"):
        raise MisuseError(f"start(gauges=...) is seconds between samples, or False; got {gauges!r}")
    return float(gauges)


def _output(output: Any) -> bool | str:
    if output not in (True, False, "fd"):
        raise MisuseError(f"start(output=...) must be True, False or 'fd', got {output!r}")
    return output if isinstance(output, bool | str) else bool(output)
