"""Counts what changed: one thing at a time is the rule, and this says whether it was kept.

What counts as one change:

- each argument whose value differs, was added or removed (nested names apart);
- the code as a whole, when what was executed differs in any byte; each of the user's other
  repositories (editable installs) likewise;
- the script, the number of processes, and, where no arguments were found, the command line;
- the packages together, Python, and the machine: one each. Of the machine counts what computes:
  processor, usable cores, GPU models, driver, CUDA. Another host name, kernel, memory size or GPU
  of the same model is listed, not counted;
- the environment variables that steer a computation together: not those that only say which job,
  rank, device or book this is;
- each data set with another fingerprint;
- the data as given to the model, where nothing else tells why it differs;
- the net as it was defined, when nothing that defines it changed: neither arguments nor code nor
  packages. Otherwise it follows from them, and is only mentioned.

Seeds are counted apart: repeating a run with another seed is no change of the experiment. A
generator's state alone differs whenever nobody seeds it, and is only mentioned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from labbook.compare.code import CodeDifference
from labbook.compare.modules import net_words
from labbook.compare.recorded import Section
from labbook.compare.values import Item

__all__ = [
    "DEFINING", "HARDWARE",
    "Change", "consequences", "count_changes", "headline", "not_known", "seed_changes",
    "started_elsewhere", "steers",
]  # fmt: skip

HARDWARE = frozenset({
    "system", "architecture", "cpu", "cores_usable", "gpus", "driver", "cuda", "cuda_runtime",
})  # fmt: skip

_SHOWN = 8
"""Changes and names in the one line that is always printed."""

_WHEREABOUTS = ("LABBOOK_", "SLURM_", "TORCHELASTIC_", "NCCL_SOCKET", "GLOO_SOCKET")
_WHICH = frozenset({
    "RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
    "MASTER_PORT", "CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "PYTHONHASHSEED",
})  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One thing that changed: the section it belongs to, and a few words."""

    section: str
    text: str


def count_changes(sections: Iterable[Section], code: CodeDifference) -> tuple[Change, ...]:
    """Return the changes, arguments first; seeds are not among them."""
    by_name = {section.name: section.items for section in sections}
    found = [Change("arguments", item.text) for item in by_name["arguments"]]
    found += _code(code)
    found += [Change("launch", item.bare_text) for item in by_name["launch"]]
    for name, items in (
        ("packages", by_name["packages"]),
        ("python", by_name["python"]),
        ("machine", tuple(i for i in by_name["machine"] if i.name in HARDWARE)),
        ("environment", tuple(i for i in by_name["environment"] if steers(i.name))),
    ):
        if items:
            found.append(Change(name, _together(name, items)))
    found += [Change("data", f"data {item.name}") for item in by_name["data"]]
    if by_name["model"] and not DEFINING & {change.section for change in found}:
        found.append(Change("model", f"model ({net_words(by_name['model'])})"))
    if by_name["given"] and not found:
        # otherwise it is what came of the change that is counted already
        found.append(Change("given", _together("data as given", by_name["given"])))
    return tuple(found)


DEFINING = frozenset({"arguments", "code", "packages", "launch"})
"""Where a change of the net may come from."""


def consequences(sections: Iterable[Section], changes: Iterable[Change]) -> str:
    """Return what follows from the changes and counts as none: another net, in a few words."""
    [model] = [section for section in sections if section.name == "model"]
    if not model.items or any(change.section == "model" for change in changes):
        return ""
    return f"model: {net_words(model.items)}"


def steers(variable: str) -> bool:
    """Whether an environment variable may change what is computed."""
    return variable not in _WHICH and not variable.startswith(_WHEREABOUTS)


def seed_changes(sections: Iterable[Section]) -> tuple[Change, ...]:
    """Return the seeds that differ, those given as arguments first; one seed counts once."""
    [seeds] = [section for section in sections if section.name == "seeds"]
    given = [item for item in seeds.items if not item.name.startswith("state.")]
    arguments = [item for item in given if item.name not in _DERIVED]
    return tuple(Change("seeds", item.text) for item in arguments or given[:1])


_DERIVED = frozenset({"labbook.seed", "torch.initial_seed"})
"""These follow from a seed among the arguments, where there is one."""


def started_elsewhere(sections: Iterable[Section]) -> tuple[str, ...]:
    """Return the random generators whose state at start differs."""
    [seeds] = [section for section in sections if section.name == "seeds"]
    return tuple(
        item.name.removeprefix("state.")
        for item in seeds.items
        if item.name.startswith("state.") and item.kind == "changed"
    )


def not_known(sections: Iterable[Section], code: CodeDifference) -> tuple[str, ...]:
    """Return the names of what could not be compared; of data only where one run tells."""
    found = [] if code.is_changed is not None else ["code"]
    for section in sections:
        one_tells = section.unknown is not None and "both" not in section.unknown
        if one_tells or (section.unknown is not None and section.name in _EXPECTED):
            found.append(section.name)
    return tuple(found)


_EXPECTED = frozenset({"arguments", "packages", "python", "machine"})
"""Every run has these: that both lack them is no reason to call them equal."""


def headline(
    changes: tuple[Change, ...],
    seeds: tuple[Change, ...],
    unknown: tuple[str, ...],
    generators: tuple[str, ...],
    consequence: str = "",
) -> str:
    """Return the one line: what changed, and what could not be compared."""
    texts = [change.text for change in changes]
    also = ", ".join(change.text for change in seeds)
    if len(texts) > 1:
        line = f"{len(texts)} things changed at once: {_some(texts)}"
    elif texts:
        line = f"one thing changed: {texts[0]}"
    elif seeds:
        line, also = f"only the seed changed: {also}", ""
    elif generators:
        line = f"nothing changed but the state of the random generators ({', '.join(generators)})"
    else:
        line = "nothing changed"
    if also:
        line += f" (and the seed: {also})"
    if consequence:
        line += f" ({consequence})"
    if unknown:
        line += f"; not known: {', '.join(unknown)}"
    return line


def _code(code: CodeDifference) -> Iterator[Change]:
    if code.is_changed:
        names = [file.path for file in code.files if not file.is_elsewhere]
        yield Change("code", f"code ({_some(names, 3)})" if names else "code")
    for name in code.editable:
        yield Change("code", f"code of {name}")


def _together(name: str, items: tuple[Item, ...]) -> str:
    return f"{name} ({_some([item.bare_text for item in items], 3)})"


def _some(texts: list[str], most: int = _SHOWN) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
