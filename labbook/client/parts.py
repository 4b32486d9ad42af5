"""Telling the input of an example, or of a batch, from its target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from labbook.client.waveform import is_audio
from labbook.errors import MisuseError

__all__ = ["TARGET_NAMES", "Target", "display_input", "inputs_and_target", "is_vector"]

Target = str | int | Callable[[Any], Any] | None
"""How the user names the target: a key, a position, or a function of the example."""

TARGET_NAMES = ("labels", "label", "target", "targets", "y")
"""Keys that hold the target of a mapping when the user names none, in this order."""

_INPUT_NAMES = ("image", "img", "pixel_values", "audio", "text", "sentence", "input", "inputs", "x")


def inputs_and_target(example: Any, target: Target = None) -> tuple[Any, Any]:
    """Split an example or a batch into (what the model gets, the target or None).

    A mapping loses the target's key; a tuple or list is (input, target, …), but a list of numbers
    is a vector; anything else is all input. Raises `MisuseError` when the target that the user
    names is not there.
    """
    if callable(target):
        return inputs_and_target(example)[0], target(example)
    if isinstance(example, Mapping):
        return _of_mapping(example, target)
    if isinstance(target, str):
        raise MisuseError(
            f"choose(target={target!r}) names a key, but the examples are no mappings"
        )
    if not isinstance(example, (tuple, list)) or is_vector(example):
        return example, None
    if target is None:
        return example[0], example[1] if len(example) > 1 else None
    if not -len(example) <= target < len(example):
        raise MisuseError(
            f"choose(target={target}) names a position, but the examples have {len(example)} parts"
        )
    at = target % len(example)
    return next(part for i, part in enumerate(example) if i != at or len(example) == 1), example[at]


def is_vector(value: Any) -> bool:
    """Whether this is a list of numbers: one part of an example, not its parts."""
    return isinstance(value, list) and all(isinstance(entry, (bool, int, float)) for entry in value)


def _of_mapping(example: Mapping[Any, Any], target: Target) -> tuple[Any, Any]:
    if target is not None and target not in example:
        raise MisuseError(
            f"choose(target={target!r}) names a key that the examples do not have; "
            f"they have {sorted(map(str, example))}"
        )
    key = target if target is not None else next((k for k in TARGET_NAMES if k in example), None)
    if key is None:
        return example, None
    return {name: part for name, part in example.items() if name != key}, example[key]


def display_input(inputs: Any) -> Any:
    """The one part of an example's input that stands for it when it is shown."""
    if not isinstance(inputs, Mapping) or is_audio(inputs):
        return inputs
    name = next((k for k in _INPUT_NAMES if k in inputs), None)
    return inputs[name] if name is not None else next(iter(inputs.values()), None)
