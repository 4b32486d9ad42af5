"""What labbook says on stderr: one line at the start, one for each kind of fault."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from typing import Any, Final

from labbook.wrapping import width_of, wrapped

__all__ = ["dirty_refusal", "not_seeded", "say", "start_lines"]

_NAMED: Final = 8
_ADDED: Final = 3
"""So many new files are named in the command that adds them."""


def say(line: str, command: str = "") -> None:
    """Print one line to the real stderr; a closed one is no reason to fail.

    A terminal gets it folded, and the `command` that it ends with in one piece, to be copied.
    """
    text, command = _printable(f"labbook: {line}"), _printable(command)
    width = width_of(sys.stderr)
    if width is None or len(text) + 1 + len(command) <= width:
        folded = [f"{text} {command}" if command else text]
    else:
        folded = [*wrapped(text, width), *([f"  {command}"] if command else [])]
    try:
        print("\n".join(folded), file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        pass


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def start_lines(
    run_id: str, name: str, attempt: int, conditions: dict[str, Any], dirty: str
) -> list[tuple[str, str]]:
    """The lines of a start: the run and its code, where the arguments came from, a dirty tree.

    Each with the command that it ends with, if any; see `say`.
    """
    again = f" · attempt {attempt}" if attempt > 1 else ""
    first = f"run {run_id} ({name}){again} · {_code(conditions)} · {_arguments(conditions)}"
    lines = [(first, "")]
    changed = _changed(conditions)
    if changed and dirty == "warn":
        text = (
            f"the working tree is dirty: {_listed(changed)}. Commit it, so that this run can be "
            "found again:"
        )
        lines.append((text, _command(changed, conditions.get("snapshot"))))
    return lines


def dirty_refusal(conditions: dict[str, Any]) -> str | None:
    """Why `dirty="refuse"` stops this start; None when the tree is clean."""
    changed = _changed(conditions)
    if not changed:
        return None
    return (
        f"the working tree has uncommitted changes: {_listed(changed)}. Commit them "
        f"({_command(changed)}), or start with dirty='warn'"
    )


def not_seeded(seeded: dict[str, Any] | None, packages: dict[str, Any]) -> str | None:
    """Which installed libraries `start(seed=)` could not seed yet; None when there is none."""
    if seeded is None:
        return None
    missing = [name for name in seeded["not_imported"] if name in packages]
    if not missing:
        return None
    return (
        f"seed {seeded['seed']} did not reach {' and '.join(missing)}: not imported yet. Import "
        f"before labbook.start(), or call labbook.seed({seeded['seed']}) after the imports"
    )


def _changed(conditions: dict[str, Any]) -> list[dict[str, Any]]:
    git = conditions.get("git") or {}
    return list(git.get("dirty") or [])


def _command(changed: list[dict[str, Any]], snapshot: dict[str, Any] | None = None) -> str:
    """What commits it; a file too large for a snapshot is none for a commit either."""
    left_out = {entry["path"] for entry in (snapshot or {}).get("left_out", ())}
    new = [e["path"] for e in changed if e["status"] == "untracked" and e["path"] not in left_out]
    if not new:
        return "git commit -a"
    if len(new) > _ADDED and not left_out:
        return "git add -A && git commit"
    names = " ".join(map(shlex.quote, new[:_NAMED])) + (" …" if len(new) > _NAMED else "")
    return f"git add {names} && git commit -a"


def _listed(changed: list[dict[str, Any]]) -> str:
    told = [f"{entry['path']} ({entry['status']})" for entry in changed[:_NAMED]]
    more = len(changed) - len(told)
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _code(conditions: dict[str, Any]) -> str:
    git = conditions.get("git")
    if not git:
        reason = conditions.get("git_reason") or "no git"
        return f"code: {reason}{_not_kept(conditions.get('snapshot'))}"
    commit = git.get("commit")
    text = f"code {commit[:7]}" if commit else "code without a commit"
    counts = Counter(
        "untracked" if entry["status"] == "untracked" else "modified"
        for entry in _changed(conditions)
    )
    told = ", ".join(f"{counts[kind]} {kind}" for kind in ("modified", "untracked") if counts[kind])
    return (f"{text} + {told}" if told else text) + _not_kept(conditions.get("snapshot"))


def _not_kept(snapshot: dict[str, Any] | None) -> str:
    """What the snapshot of the code lacks, in brackets; nothing when it lacks nothing."""
    if snapshot is None:
        return ""
    if snapshot["kind"] != "complete":
        return f" (snapshot {snapshot['kind']}: {snapshot['reason']})"
    left_out = snapshot["left_out"]
    if not left_out:
        return ""
    named = ", ".join(_named(entry) for entry in left_out[:3])
    more = len(left_out) - 3
    return f" ({len(left_out)} left out: {named}{f' and {more} more' if more > 0 else ''})"


def _named(left_out: dict[str, Any]) -> str:
    size = left_out.get("bytes") or 0
    if not size and str(left_out["path"]).endswith("/"):
        return f"{left_out['path']} ({left_out['why']})"
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{left_out['path']} {size / least:.1f} {unit}"
    return f"{left_out['path']} {size} B"


def _arguments(conditions: dict[str, Any]) -> str:
    arguments = conditions.get("arguments") or {}
    source = arguments.get("source")
    if not source:
        return "no arguments found: pass labbook.start(args)"
    count = len(arguments.get("values") or {})
    return f"{count} argument{'s' if count != 1 else ''} from {_short(str(source))}"


def _short(source: str) -> str:
    return source.replace(os.getcwd() + os.sep, "") if os.path.isdir(os.getcwd()) else source
