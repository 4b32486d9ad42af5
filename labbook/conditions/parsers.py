"""Arguments as the parsers know them: click's context, absl's flags, argparse's defaults.

Only libraries that the program has imported are asked.
"""

from __future__ import annotations

import inspect
import os
import sys
from types import FrameType
from typing import Any, NamedTuple

from labbook.conditions.frames import is_library
from labbook.conditions.plain import is_of

__all__ = ["Parsed", "absl_flags", "argparse_defaults", "click_context"]

_SUPPRESS = "==SUPPRESS=="
"""`argparse.SUPPRESS`: help actions, and arguments without a default."""


class Parsed(NamedTuple):
    """What a parser knows: the fields, where they came from, and the defaults it has."""

    fields: dict[str, Any]
    source: str
    defaults: dict[str, Any] | None


def click_context() -> Parsed | None:
    """Return the parameters of the current click (or typer) command and of the groups above it."""
    context = _current_click_context()
    if context is None or not _is_users(getattr(context.command, "callback", None)):
        return None
    chain = []
    command = context
    while command is not None:
        chain.append(command)
        command = command.parent
    fields: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for command in reversed(chain):
        fields.update(command.params)
        for parameter in command.command.params:
            if parameter.name in command.params:
                defaults[parameter.name] = _click_default(command, parameter)
    return Parsed(fields, f"click command {context.command_path!r}", defaults) if fields else None


def absl_flags() -> Parsed | None:
    """Return the parsed absl flags that the user's own modules define."""
    module = sys.modules.get("absl.flags")
    flags = getattr(module, "FLAGS", None)
    if flags is None or not flags.is_parsed():
        return None
    found = [
        flag
        for name, defined in flags.flags_by_module_dict().items()
        if _is_users_module(name)
        for flag in defined
    ]
    if not found:
        return None
    fields = {flag.name: flag.value for flag in found}
    return Parsed(fields, "absl flags", {flag.name: flag.default for flag in found})


def argparse_defaults(namespace: Any, frames: list[FrameType]) -> dict[str, Any] | None:
    """Return the defaults of the parser that made `namespace`, where a frame still holds it."""
    if not is_of(namespace, "argparse", "Namespace"):
        return None
    wanted = vars(namespace).keys()
    for frame in frames:
        for variables in (frame.f_locals, frame.f_globals):
            for value in list(variables.values()):
                if not is_of(value, "argparse", "ArgumentParser"):
                    continue
                defaults = _defaults(value)
                if defaults and defaults.keys() <= wanted:
                    return defaults
    return None


def _current_click_context() -> Any | None:
    for name in ("click", "typer._click.globals"):  # newer typers bring a click of their own
        current = getattr(sys.modules.get(name), "get_current_context", None)
        context = current(silent=True) if current is not None else None
        if context is not None:
            return context
    return None


def _defaults(parser: Any) -> dict[str, Any]:
    """Defaults by destination, converted by the parser's own types as `parse_args` does."""
    found: dict[str, Any] = {}
    for action in parser._actions:
        if _SUPPRESS in (action.dest, action.default) or is_of(
            action, "argparse", "_SubParsersAction"
        ):
            continue
        found[action.dest] = _converted(action)
    return {**found, **parser._defaults}


def _converted(action: Any) -> Any:
    if not isinstance(action.default, str) or not callable(action.type):
        return action.default
    try:
        return action.type(action.default)
    except Exception:  # the user's own function; parse_args would have shown its error
        return action.default


def _click_default(context: Any, parameter: Any) -> Any:
    source = context.get_parameter_source(parameter.name)
    if source is not None and source.name in {"DEFAULT", "DEFAULT_MAP"}:
        return context.params[parameter.name]
    # call=False: a default that is a function is the program's to call
    default = parameter.get_default(context, call=False)
    if default is None or callable(default) or type(default).__name__ == "Sentinel":
        return None
    cast = getattr(parameter, "type_cast_value", None)
    return cast(context, default) if cast is not None else default


def _is_users(callback: Any) -> bool:
    """Whether a command is the user's own, not that of a tool which runs the user's program."""
    code = getattr(inspect.unwrap(callback), "__code__", None) if callable(callback) else None
    return code is not None and not is_library(code.co_filename)


def _is_users_module(name: str) -> bool:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None) or (name if os.path.exists(name) else None)
    if module is None and file is None:
        return name in {"__main__", sys.argv[0]}
    return file is not None and not is_library(file)
