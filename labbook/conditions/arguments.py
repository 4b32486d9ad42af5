"""Finds the arguments of the program: what the user typed, as typed and nested values.

Looked for in this order: the current click context; Hydra's and absl's own; then the frames from
the caller outwards to the script's `<module>`, argparse namespaces by type, others by name; then
the globals of those frames' modules. The innermost wins. Nothing is imported and nothing is
patched: a library takes part only when the program has imported it already.

Frames of the standard library and of installed packages are never looked into, and the search
ends at a test runner, a debugger or a tracer, whose arguments are not the program's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from labbook.conditions import frames, parsers, secrets
from labbook.conditions.plain import fields_of, to_plain
from labbook.errors import MisuseError

__all__ = ["Arguments", "find"]


@dataclass(frozen=True)
class Arguments:
    """The arguments of one program.

    `values` are JSON data with secrets masked; `unmasked` the same as the program has them, for
    the program only: never to be written. `masked` and `as_repr` are dotted names. `defaults`
    are the parser's, for the names it has one for; None where no parser was found.
    """

    values: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    masked: list[str] = field(default_factory=list)
    as_repr: list[str] = field(default_factory=list)
    defaults: dict[str, Any] | None = None
    unmasked: dict[str, Any] = field(default_factory=dict, repr=False)

    def secret_values(self) -> list[str]:
        """Return the texts that were masked, to be masked elsewhere (the command line) too."""
        return [text for path in self.masked if isinstance(text := _at(self.unmasked, path), str)]

    def as_condition(self) -> dict[str, Any]:
        """Return the `arguments` object of the conditions file."""
        found = {"values": self.values, "source": self.source, "masked": self.masked}
        return {**found, "repr": self.as_repr, "defaults": self.defaults}


def find(frame: FrameType | None, explicit: Any = None) -> Arguments:
    """Return the arguments seen from `frame` (the caller of `start()`), or those given.

    `explicit` is an argparse namespace, a mapping, a dataclass, pydantic or OmegaConf object, a
    `SimpleNamespace`, or a list of several. Raises `MisuseError` for anything else. Where nothing
    is found, `source` is None.
    """
    if explicit is not None:
        return _given(explicit, frame)
    for look in (parsers.click_context, parsers.absl_flags):
        try:
            found = look()
        except Exception:  # insides of a library that has changed: the frames still tell
            continue
        if found is not None:
            return _arguments(found.fields, found.source, found.defaults)
    if frame is None:
        return Arguments()
    users = list(frames.outwards(frame))
    place = frames.search(users)
    if place is None:
        return Arguments()
    fields = fields_of(place.value) or {}
    return _arguments(fields, place.source, parsers.argparse_defaults(place.value, users))


def _given(explicit: Any, frame: FrameType | None) -> Arguments:
    several = isinstance(explicit, Sequence) and not isinstance(explicit, str | bytes)
    objects = list(explicit) if several and fields_of(explicit) is None else [explicit]
    parts: list[tuple[str, dict[str, Any]]] = []
    for value in objects:
        fields = fields_of(value)
        if fields is None:
            raise MisuseError(
                "args must be an argparse.Namespace, a mapping with text keys, a dataclass, "
                "pydantic, attrs or OmegaConf object, a SimpleNamespace, or a list of these, got "
                f"{type(value).__name__}; for another kind of object pass args=vars(it)"
            )
        parts.append((type(value).__qualname__, fields))
    names = " + ".join(name for name, _ in parts) or "nothing"
    users = list(frames.outwards(frame)) if frame is not None else []
    defaults = parsers.argparse_defaults(objects[0], users) if len(objects) == 1 else None
    return _arguments(_merged(parts), f"args= ({names})", defaults)


def _merged(parts: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Merge several objects flat; where they disagree on a name, each stays whole under its own."""
    merged: dict[str, Any] = {}
    for _, fields in parts:
        for name, value in fields.items():
            if name in merged and merged[name] is not value:
                return _nested(parts)
            merged[name] = value
    return merged


def _nested(parts: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for kind, fields in parts:
        same = sum(name.split("-")[0] == kind for name in nested)
        nested[f"{kind}-{same + 1}" if same else kind] = fields
    return nested


def _arguments(
    fields: Mapping[str, Any], source: str, defaults: Mapping[str, Any] | None
) -> Arguments:
    unmasked, as_repr = to_plain(fields)
    values, masked = secrets.mask_values(unmasked)
    known = None
    if defaults is not None:
        known = secrets.mask_values(to_plain(defaults)[0])[0]
    return Arguments(values, source, masked, as_repr, known, unmasked)


def _at(values: Any, path: str) -> Any:
    """The value at a dotted path, whose own names may hold dots."""
    if isinstance(values, dict):
        if path in values:
            return values[path]
        heads = [key for key in values if path.startswith(f"{key}.")]
        found = (_at(values[key], path[len(key) + 1 :]) for key in heads)
        return next((value for value in found if value is not None), None)
    if isinstance(values, list):
        head, _, rest = path.partition(".")
        inside = values[int(head)] if head.isdigit() and int(head) < len(values) else None
        return _at(inside, rest) if rest else inside
    return None
