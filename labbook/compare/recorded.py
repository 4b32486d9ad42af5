"""A run's conditions as flat sections of names and values, whatever shape the file has.

A section is None where nothing was recorded: that is not the same as empty.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from labbook.book.facts import Facts
from labbook.book.nets import nets
from labbook.book.summary import flatten
from labbook.compare.given import Scales, compare_scales, given
from labbook.compare.modules import net_values
from labbook.compare.snapshots import Code, Git
from labbook.compare.values import Item, compare_maps, same

__all__ = ["SECTIONS", "Recorded", "Section", "compare_sections", "is_seed"]

SECTIONS = {
    "arguments": "Arguments",
    "launch": "Launch",
    "packages": "Packages",
    "python": "Python",
    "machine": "Machine",
    "environment": "Environment",
    "seeds": "Seeds",
    "data": "Data",
    "given": "Data as given to the model",
    "model": "Model",
}
"""Name -> title, in the order of reading; code and results are compared elsewhere."""

_SEED = re.compile(r"(?:.*[_-])?(?:seeds?|random_?state|rng)")

_MACHINE = (
    "system", "kernel", "architecture", "cpu", "cores", "cores_usable", "memory_bytes", "driver",
    "cuda", "cuda_runtime",
)  # fmt: skip

Values = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """What differs in one part of the conditions.

    `unknown` says why it could not be compared, and then there are no items; `n_same` counts the
    names with one value in both.
    """

    name: str
    items: tuple[Item, ...] = ()
    n_same: int = 0
    unknown: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """For people."""
        return SECTIONS[self.name]


@dataclass(frozen=True)
class Recorded:
    """What was recorded of a run before its first step."""

    sections: dict[str, Values | None]
    defaults: Values | None
    masked: frozenset[str]
    code: Code
    git: Git
    scales: Scales = field(default_factory=dict)
    """Of the data as given to the model."""

    @classmethod
    def of(cls, facts: Facts) -> Recorded:
        """Read what the newest attempt's rank 0 recorded."""
        process = facts.newest()
        conditions = process.conditions if process else {}
        arguments = _object(conditions.get("arguments"))
        values = _flat(arguments.get("values"))
        defaults = arguments.get("defaults")
        masked = arguments.get("masked")
        code = Code.of(conditions)
        sections: dict[str, Values | None] = {
            "arguments": {name: value for name, value in values.items() if not is_seed(name)}
            if arguments
            else None,
            "launch": _launch(conditions, code, bool(arguments.get("source"))),
            "packages": _flat(conditions.get("packages")) or None,
            "python": _chosen(conditions.get("python"), ("version", "implementation")),
            "machine": _machine(conditions),
            "environment": _flat(conditions["environment"])
            if isinstance(conditions.get("environment"), dict)
            else None,
            "seeds": _seeds(conditions, values),
            "data": _data(facts.facts("data"), conditions.get("data")),
            "given": None,
            "model": net_values(nets(facts)),
        }
        return cls(
            sections,
            _flat(defaults) if isinstance(defaults, dict) else None,
            frozenset(map(str, masked)) if isinstance(masked, list) else frozenset(),
            code,
            Git.of(conditions),
        )

    def with_given(self, facts: Facts) -> Recorded:
        """Add what the model was given: files of their own, not read where nobody asks."""
        values, scales = given(facts)
        return replace(self, sections={**self.sections, "given": values}, scales=scales)

    def with_data(self, more: Values) -> Recorded:
        """Add fingerprints that were found elsewhere."""
        if not more:
            return self
        data = {**(self.sections["data"] or {}), **more}
        return replace(self, sections={**self.sections, "data": data})


def is_seed(name: str) -> bool:
    """Whether an argument of this dotted name is a seed."""
    return _SEED.fullmatch(name.rpartition(".")[2].lower()) is not None


def compare_sections(a: Recorded, b: Recorded) -> tuple[Section, ...]:
    """Compare all sections, in the order of `SECTIONS`."""
    return tuple(_compare(name, a, b) for name in SECTIONS)


def _compare(name: str, a: Recorded, b: Recorded) -> Section:
    left, right = a.sections[name], b.sections[name]
    if name == "given" and (left is None) != (right is None):
        # whether somebody looked says nothing about the data
        return Section(name, notes=("only one of the runs was inspected",))
    if left is None or right is None:
        both = left is None and right is None
        where = "both runs" if both else ("A" if left is None else "B")
        return Section(name, unknown=f"not recorded in {where}")
    items = compare_maps(left, right)
    notes: tuple[str, ...] = ()
    if name == "arguments":
        items = tuple(_with_defaults(item, a, b) for item in items)
        if hidden := sorted(a.masked & b.masked):
            notes = (f"not compared, for they are masked: {', '.join(hidden)}",)
    if name == "given":
        # a target that nothing told of is none that was not there
        items = tuple(i for i in items if i.kind == "changed" or not i.name.startswith("target"))
    if name == "data":
        # a fingerprint that one run lacks says nothing about its data
        lone = [item.name for item in items if item.kind != "changed"]
        items = tuple(item for item in items if item.kind == "changed")
        notes = tuple(f"{each}: only one of the runs has a fingerprint" for each in lone)
    n_same = sum(key in right and same(left[key], right[key]) for key in left)
    if name == "given":
        items += compare_scales(a.scales, b.scales)
    return Section(name, items, n_same, notes=notes)


def _with_defaults(item: Item, a: Recorded, b: Recorded) -> Item:
    def is_default(defaults: Values | None, value: Any, is_there: bool) -> bool | None:
        if defaults is None or not is_there or item.name not in defaults:
            return None
        return same(value, defaults[item.name])

    return replace(
        item,
        a_default=is_default(a.defaults, item.a, item.kind != "added"),
        b_default=is_default(b.defaults, item.b, item.kind != "removed"),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _flat(values: Any) -> Values:
    return dict(flatten(values)) if isinstance(values, dict) else {}


def _chosen(values: Any, names: Iterable[str]) -> Values | None:
    found = _object(values)
    return {name: found[name] for name in names if found.get(name) is not None} or None


def _launch(conditions: Mapping[str, Any], code: Code, has_arguments: bool) -> Values | None:
    script = conditions.get("script")
    found: Values = {}
    if isinstance(script, str):
        inside = code.prefix or ""
        found["script"] = f"{inside}/{os.path.basename(script)}".lstrip("/")
    if isinstance(conditions.get("world_size"), int):
        found["processes"] = conditions["world_size"]
    command = conditions.get("command")
    if not has_arguments and isinstance(command, list):
        # without parsed arguments the command line is all there is
        found["command"] = " ".join(map(str, command[1:]))
    return found or None


def _machine(conditions: Mapping[str, Any]) -> Values | None:
    machine = _object(conditions.get("machine"))
    found = {name: machine[name] for name in _MACHINE if machine.get(name) is not None}
    if isinstance(conditions.get("host"), str):
        found["host"] = conditions["host"]
    if isinstance(machine.get("gpus"), list):
        gpus = [gpu for gpu in machine["gpus"] if isinstance(gpu, dict)]
        counted = Counter(str(gpu.get("name")) for gpu in gpus)
        kinds = [f"{n} × {name}" if n > 1 else name for name, n in sorted(counted.items())]
        found["gpus"] = ", ".join(kinds) or "none"
        found["gpu_uuids"] = sorted(str(gpu.get("uuid")) for gpu in gpus)
    return found or None


def _seeds(conditions: Mapping[str, Any], arguments: Values) -> Values | None:
    """Seeds among the arguments, what was seeded with what, and the generators' states."""
    recorded = conditions.get("seeds")
    if not isinstance(recorded, dict):
        return None
    found: Values = {name: value for name, value in arguments.items() if is_seed(name)}
    seeded = _object(recorded.get("seeded"))
    if "seed" in seeded:
        found["labbook.seed"] = seeded["seed"]
    found |= {f"deterministic.{k}": v for k, v in _flat(seeded.get("deterministic")).items()}
    if recorded.get("torch_initial_seed") is not None:
        found["torch.initial_seed"] = recorded["torch_initial_seed"]
    if recorded.get("hash") is not None:
        found["PYTHONHASHSEED"] = recorded["hash"]
    for generator in ("python", "numpy", "torch", "cuda"):
        if recorded.get(generator) is not None:
            found[f"state.{generator}"] = recorded[generator]
    return found


def _data(facts: Iterable[dict[str, Any]], recorded: Any) -> Values | None:
    """Fingerprints by name; the newest of a name counts."""
    found: Values = {}
    given = [{"name": name, **_object(value)} for name, value in _object(recorded).items()]
    for record in [*given, *facts]:
        inner = record.get("data")
        about = {**record, **inner} if isinstance(inner, dict) else record
        digest = next((about[key] for key in ("digest", "fingerprint") if about.get(key)), None)
        if digest is None:
            kept = {k: v for k, v in about.items() if k not in {"fact", "time_ns", "name", "data"}}
            digest = kept or inner
        if digest is not None:
            found[str(about.get("name") or "data")] = digest
    return found or None
