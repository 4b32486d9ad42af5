"""Nets compared as they were defined: a line a module, and what differs in a few words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labbook.book.nets import modules_of
from labbook.compare.values import Item

__all__ = ["module_words", "net_values", "net_words"]

_SPLIT = re.compile(r",\s*(?![^()\[\]]*[)\]])")

_PLACES = {
    "Conv": ("in_channels", "out_channels"),
    "BatchNorm": ("num_features",),
    "InstanceNorm": ("num_features",),
    "GroupNorm": ("num_groups", "num_channels"),
    "Embedding": ("num_embeddings", "embedding_dim"),
}
"""What the numbers without a name mean, in torch's own words of a module, by the type's start."""


def net_values(nets: Mapping[str, Mapping[str, Any]]) -> dict[str, str] | None:
    """One line for each module and optimizer, by name; None where no net was followed."""
    found: dict[str, str] = {}
    for net_name, net in nets.items():
        inside = f"{net_name}." if net_name else ""
        for module in modules_of(net):
            name = str(module.get("name") or "")
            found[f"{inside}{name}" or "(model)"] = _line(module)
        optimizers = net.get("optimizers")
        for at, optimizer in enumerate(optimizers if isinstance(optimizers, list) else ()):
            if isinstance(optimizer, dict):
                number = at + 1 if at else ""
                found[f"{inside}(optimizer{number})"] = _short(optimizer.get("type"))
    return found or None


def _line(module: Mapping[str, Any]) -> str:
    """`Conv2d(1, 32, kernel_size=(3, 3)) weight[32,1,3,3] bias[32]`, and what is unusual."""
    about = f"({module['about']})" if module.get("about") else ""
    parameters = [_tensor(t, is_parameter=True) for t in _dicts(module.get("parameters"))]
    buffers = [_tensor(t, is_parameter=False) for t in _dicts(module.get("buffers"))]
    return " ".join([f"{_short(module.get('type'))}{about}", *parameters, *buffers])


def _tensor(tensor: Mapping[str, Any], *, is_parameter: bool) -> str:
    shape = tensor.get("shape")
    size = ",".join(map(str, shape)) if isinstance(shape, list) else "?"
    words = [f"{tensor.get('name')}[{size}]"]
    if tensor.get("dtype") not in ("float32", "int64"):
        words.append(str(tensor.get("dtype")))
    if tensor.get("same_as"):
        words.append(f"={tensor['same_as']}")
    elif is_parameter and not tensor.get("requires_grad"):
        words.append("frozen")
    return ":".join(words)


def _short(kind: Any) -> str:
    return str(kind).rpartition(".")[2]


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    yield from (
        each for each in (value if isinstance(value, list) else ()) if isinstance(each, dict)
    )


def net_words(items: Sequence[Item]) -> str:
    """What differs: `conv2 out_channels 32 → 48, 2 more modules changed, 1 module added`."""
    if not items:
        return ""
    changed = [item for item in items if item.kind == "changed"]
    parts = [f"{changed[0].name} {module_words(changed[0])[0]}"] if changed else []
    if len(changed) > 1:
        n = len(changed) - 1
        parts.append(f"{n} more module{'s' if n > 1 else ''} changed")
    for kind in ("added", "removed"):
        names = [item.name for item in items if item.kind == kind]
        if names:
            word = f"module {kind} ({names[0]})" if len(names) == 1 else f"modules {kind}"
            parts.append(f"{len(names)} {word}")
    return ", ".join(parts)


def module_words(item: Item) -> list[str]:
    """What differs in one module: `out_channels 32 → 48`; its tensors only if nothing else does."""
    (a_type, a_words, a_rest), (b_type, b_words, b_rest) = _parts(item.a), _parts(item.b)
    if a_type != b_type:
        return [f"{a_type} → {b_type}"]
    found = [
        f"{key} {a_words.get(key, 'none')} → {b_words.get(key, 'none')}"
        for key in a_words | b_words
        if a_words.get(key) != b_words.get(key)
    ]
    left = " ".join(word for word in a_rest if word not in b_rest) or "none"
    right = " ".join(word for word in b_rest if word not in a_rest) or "none"
    return found or [f"{left} → {right}"]


def _parts(line: str) -> tuple[str, dict[str, str], list[str]]:
    """Type, named words, and tensors of a module's line."""
    match = re.fullmatch(r"(?P<type>\w+)(?:\((?P<about>.*)\))?(?P<rest>(?: \S+\[.*)?)", line)
    if match is None:
        return line, {}, []
    places = next((p for start, p in _PLACES.items() if match["type"].startswith(start)), ())
    words: dict[str, str] = {}
    for at, word in enumerate(_SPLIT.split(match["about"] or "")):
        name, is_named, value = word.partition("=")
        key = places[at] if not is_named and at < len(places) else name if is_named else f"[{at}]"
        if word:
            words[key] = value if is_named else word
    return match["type"], words, match["rest"].split()
