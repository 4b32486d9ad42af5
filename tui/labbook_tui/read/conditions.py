"""What was recorded before the first step, as lines: arguments, code, machine, packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labbook.book.text import clean
from labbook.restore.typed import command_line
from labbook_tui.models import ConditionsModel, Entry, Want
from labbook_tui.text import bytes_text, value_text

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["build"]

NOTES_BYTES = 64 << 10


def build(reader: RunReader, want: Want) -> ConditionsModel:
    """Sections as entries; a section that was not recorded says so."""
    found = reader.conditions or {}
    summary = reader.summary()
    if not found:
        entries = [
            Entry("no conditions were recorded", heading=True),
            Entry("why", clean(summary.why) or "the run's files hold none", "warn"),
            *_written(reader),
        ]
        return ConditionsModel(summary, tuple(entries))
    entries = [
        *_written(reader),
        *_arguments(found.get("arguments") or {}),
        *_code(found),
        *_command(found),
        *_machine(found.get("machine") or {}, found),
        *_mapping("seeds", found.get("seeds")),
        *_mapping("environment", found.get("environment")),
        *_mapping(f"packages ({len(found.get('packages') or {})})", found.get("packages")),
    ]
    return ConditionsModel(summary, tuple(entries), command_line(found))


def _written(reader: RunReader) -> list[Entry]:
    """Tags, and the notes line by line; where there are none, how to write them."""
    tags = ", ".join(clean(tag) for tag in reader.tags)
    out = [Entry("tags and notes", heading=True)]
    out.append(Entry("tags", tags or "none: + adds some", "text" if tags else "dim"))
    try:
        with open(reader.paths.notes, encoding="utf-8", errors="replace") as file:
            lines = clean(file.read(NOTES_BYTES), lines=True).rstrip().split("\n")
    except FileNotFoundError:
        lines = [""]
    except OSError as error:
        return [*out, Entry("notes", f"cannot be read: {error.strerror}", "warn")]
    if lines == [""]:
        return [*out, Entry("notes", "none: E writes some", "dim")]
    return [*out, *(Entry("" if i else "notes", line) for i, line in enumerate(lines))]


def _flat(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(values, dict) or not values:
        return [(prefix, values)]
    out: list[tuple[str, Any]] = []
    for name, value in values.items():
        out += _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return out


def _arguments(arguments: dict[str, Any]) -> list[Entry]:
    values = arguments.get("values") or {}
    source = clean(arguments.get("source") or "")
    out = [Entry("arguments", source, "dim", heading=True)]
    if not values:
        out.append(Entry("none", "nothing was found or passed: labbook.start(args=…)", "dim"))
        return out
    masked = set(arguments.get("masked") or ())
    for name, value in _flat(values):
        hidden = name in masked
        out.append(
            Entry(
                clean(name),
                "masked" if hidden else clean(value_text(value)),
                "dim" if hidden else "text",
            )
        )
    return out


def _code(found: dict[str, Any]) -> list[Entry]:
    git = found.get("git")
    if not git:
        why = clean(found.get("git_reason") or "unknown")
        return [Entry("code", heading=True), Entry("git", f"not recorded: {why}", "warn")]
    dirty = git.get("dirty") or []
    out = [Entry("code", heading=True)]
    out.append(Entry("commit", clean(git.get("commit") or "none: the repository is empty")))
    branch = "detached HEAD" if git.get("detached") else clean(git.get("branch") or "–")
    away = [f"{git[key]} {key}" for key in ("ahead", "behind") if git.get(key)]
    out.append(Entry("branch", ", ".join([branch, *away])))
    for key in ("describe", "remote"):
        if git.get(key):
            out.append(Entry(key, clean(git[key])))
    if not dirty:
        out.append(Entry("tree", "clean: the commit is what ran", "good"))
        return out
    count = f"{len(dirty)} file" + ("s" if len(dirty) != 1 else "")
    out.append(Entry("! tree", f"dirty: {count} not as committed", "warn"))
    out += [
        Entry(f"  {clean(item.get('status'))}", clean(item.get("path")), "warn") for item in dirty
    ]
    return out


def _command(found: dict[str, Any]) -> list[Entry]:
    python = found.get("python") or {}
    out = [Entry("process", heading=True)]
    command = found.get("command") or []
    out.append(Entry("command", clean(" ".join(str(word) for word in command))))
    out.append(Entry("folder", clean(found.get("cwd") or "–")))
    out.append(
        Entry("python", clean(f"{python.get('version', '–')} {python.get('executable', '')}"))
    )
    out.append(
        Entry("pid", f"{found.get('pid', '–')} on {clean(found.get('host') or 'unknown host')}")
    )
    if (found.get("world_size") or 1) > 1:
        out.append(Entry("rank", f"{found.get('rank')} of {found.get('world_size')}"))
    return out


def _machine(machine: dict[str, Any], found: dict[str, Any]) -> list[Entry]:
    out = [Entry("machine", heading=True)]
    system = " ".join(clean(machine[key]) for key in ("system", "kernel") if machine.get(key))
    out.append(Entry("system", system or "–"))
    out.append(
        Entry("cpu", f"{clean(machine.get('cpu') or '–')}, {machine.get('cores', '?')} cores")
    )
    if machine.get("memory_bytes"):
        out.append(Entry("memory", bytes_text(machine["memory_bytes"])))
    for gpu in machine.get("gpus") or ():
        memory = f", {bytes_text(gpu['memory_bytes'])}" if gpu.get("memory_bytes") else ""
        out.append(Entry(f"gpu {gpu.get('index')}", clean(gpu.get("name")) + memory))
    if not machine.get("gpus"):
        out.append(Entry("gpu", clean(machine.get("gpu_reason") or "none"), "dim"))
    for key in ("driver", "cuda"):
        if machine.get(key):
            out.append(Entry(key, clean(machine[key])))
    return out


def _mapping(title: str, values: Any) -> list[Entry]:
    if not isinstance(values, dict) or not values:
        return []
    rows = [Entry(clean(name), clean(value_text(value))) for name, value in sorted(values.items())]
    return [Entry(title, heading=True), *rows]
