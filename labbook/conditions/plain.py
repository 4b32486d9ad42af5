"""Turns whatever users keep arguments in into plain data: JSON types, nested, nothing cut off.

What cannot be stored as data is stored as its `repr` and listed, never dropped. Libraries are
recognised through `sys.modules`: none is imported here.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import os
import re
import sys
import types
from collections.abc import Mapping
from typing import Any

__all__ = ["fields_of", "is_of", "plain", "to_plain"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_AS_TEXT = {
    "datetime": ("date", "time"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID",),
}
"""Types whose `str` is the value; looked up where imported already: a cold import costs 10 ms."""
_LARGEST_ARRAY = 100_000


def fields_of(value: Any) -> dict[str, Any] | None:
    """Return the named fields of an object that holds arguments; None when it is no such object.

    Knows argparse namespaces, mappings with text keys, dataclasses, attrs, pydantic, OmegaConf,
    ml_collections and `SimpleNamespace`.
    """
    if isinstance(value, type):
        return None
    if isinstance(value, types.SimpleNamespace) or is_of(value, "argparse", "Namespace"):
        return dict(vars(value))
    found = _omegaconf(value)
    if found is not None:
        return found
    if isinstance(value, Mapping) or is_of(value, "ml_collections", "ConfigDict"):
        items = dict(value.items())
        return items if all(isinstance(key, str) for key in items) else None
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    if hasattr(type(value), "__attrs_attrs__"):
        return {a.name: getattr(value, a.name) for a in type(value).__attrs_attrs__}
    if is_of(value, "pydantic", "BaseModel"):
        return dict(iter(value))
    return None


def to_plain(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return `values` as JSON data, and the dotted names of those stored as their `repr`."""
    as_repr: list[str] = []
    return {str(k): plain(v, str(k), as_repr) for k, v in values.items()}, as_repr


def plain(value: Any, path: str, as_repr: list[str], above: tuple[int, ...] = ()) -> Any:
    """Return one value as JSON data; `above` are the ids of the containers around it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return _scalar(value, path, as_repr)
    if isinstance(value, os.PathLike):
        return os.fsdecode(os.fspath(value))
    if any(is_of(value, module, kind) for module, kinds in _AS_TEXT.items() for kind in kinds):
        return str(value)
    if id(value) in above:
        as_repr.append(path)
        return "<itself>"
    inside = (*above, id(value))
    if isinstance(value, enum.Enum):
        return plain(value.value, path, as_repr, inside)
    fields = _named(value)
    if fields is not None:
        return {k: plain(v, f"{path}.{k}", as_repr, inside) for k, v in fields.items()}
    items = _items(value)
    if items is not None:
        return [plain(item, f"{path}.{i}", as_repr, inside) for i, item in enumerate(items)]
    return _leaf(value, path, as_repr)


def _leaf(value: Any, path: str, as_repr: list[str]) -> Any:
    if is_of(value, "numpy", "generic"):
        inner = value.item()
        if isinstance(inner, (bool, int, float, str)):
            return _scalar(inner, path, as_repr)
    as_repr.append(path)
    return _repr(value)


def _scalar(value: Any, path: str, as_repr: list[str]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if math.isfinite(value):
        return float(value)
    as_repr.append(path)  # JSON has no NaN and no infinity
    return repr(float(value))


def _named(value: Any) -> dict[str, Any] | None:
    """Fields of anything that has names for its parts, also a mapping with other than text keys."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    fields = fields_of(value)
    if fields is not None or not isinstance(value, Mapping):
        return fields
    texts = [str(key) for key in value]
    if len(set(texts)) < len(texts):  # {1: …, "1": …}
        texts = [repr(key) for key in value]
    return dict(zip(texts, value.values(), strict=True))


def _items(value: Any) -> list[Any] | None:
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=lambda item: (str(type(item)), repr(item)))
    if isinstance(value, range):
        return list(value) if len(value) <= _LARGEST_ARRAY else None
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is not None and isinstance(value, omegaconf.ListConfig):
        return list(_container(omegaconf, value))
    if is_of(value, "numpy", "ndarray") and value.size <= _LARGEST_ARRAY:
        listed = value.tolist()
        return listed if isinstance(listed, list) else [listed]
    return None


def _omegaconf(value: Any) -> dict[str, Any] | None:
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is None or not isinstance(value, omegaconf.DictConfig):
        return None
    found = _container(omegaconf, value)
    return {str(k): v for k, v in found.items()} if isinstance(found, dict) else None


def _container(omegaconf: Any, value: Any) -> Any:
    """OmegaConf as containers; interpolations stay as written where one cannot be resolved."""
    try:
        return omegaconf.OmegaConf.to_container(value, resolve=True)
    except omegaconf.errors.OmegaConfBaseException:
        return omegaconf.OmegaConf.to_container(value, resolve=False)


def is_of(value: Any, module: str, name: str) -> bool:
    """Whether `value` is of the class `name` of a module, provided that one is imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _repr(value: Any) -> str:
    """`repr` without memory addresses, which would tell two equal runs apart."""
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "is_cuda") and hasattr(value, "shape"):
        # printing a CUDA tensor would wait for the GPU
        return f"tensor of shape {tuple(value.shape)}, {value.dtype}"
    try:
        return _ADDRESS.sub("", repr(value))
    except Exception as error:  # a user's __repr__ may raise anything
        return f"<{type(value).__qualname__}, whose repr raises {type(error).__name__}>"
