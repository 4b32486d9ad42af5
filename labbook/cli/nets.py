"""The text about a net that was followed: its tree, and the last statistics of its tensors.

Invariant: whatever comes from a run passes `clean`, here or in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from labbook.book.nets import modules_of
from labbook.book.text import clean
from labbook.cli.tables import Column, render, terminal_width
from labbook.cli.wording import bytes_text, number_text

if TYPE_CHECKING:
    from labbook.book.runreader import RunReader

__all__ = ["followed", "last_statistics", "net_lines", "statistics_lines"]

Object = Mapping[str, Any]

_SHOWN = 16
"""Modules of a net in `show`; `show --model` has all."""

_PARAMETERS = ("weight_norm", "gradient_norm", "update_ratio", "zeros")
_ACTIVATIONS = ("mean", "sd", "zeros", "dead")


def followed(run: RunReader) -> dict[str, Any]:
    """Return the nets as they were defined, and which steps of each were sampled."""
    found = {}
    for name, net in run.nets().items():
        inside = f"{name}." if name else ""
        steps = run.model(f"weight_norm/{inside}(model)").column("step").drop_null().to_pylist()
        about = {"samples": len(steps), "first_step": None, "last_step": None}
        if steps:
            about |= {"first_step": steps[0], "last_step": steps[-1]}
        found[name] = {**net, **about}
    return found


def last_statistics(run: RunReader) -> dict[str, dict[str, Any]]:
    """Return of each tensor its statistics by name, each with the newest value, and the step."""
    table = run.model()
    found: dict[str, dict[str, Any]] = {}
    columns = (table.column(name).to_pylist() for name in ("step", "tensor", "statistic", "value"))
    for step, tensor, statistic, value in zip(*columns, strict=True):
        entry = found.setdefault(tensor, {"step": step})
        entry |= {"step": step, statistic: value}
    return found


def net_lines(nets: Mapping[str, Object], *, whole: bool = False) -> Iterator[str]:
    """Yield for each net its size and its modules, `whole` or the first of them."""
    for name, net in nets.items():
        yield clean(f"{f'{name}: ' if name else ''}{_size(net)}")
        modules = [m for m in modules_of(net) if m.get("name")]
        rows = [_module_row(m) for m in modules] if whole else _folded(modules)
        shown = rows if whole else rows[:_SHOWN]
        columns = [
            Column("module", [row[0] for row in shown]),
            Column("type", [row[1] for row in shown], can_shrink=True),
            Column("parameters", [row[2] for row in shown], is_number=True),
        ]
        yield from _table(columns) if shown else ()
        if len(rows) > len(shown):
            yield f"… and {len(rows) - len(shown)} more (`labbook show RUN --model` has all)"
        yield from (clean(_optimizer(each)) for each in _objects(net.get("optimizers")))
        yield _sampled(net)


def _size(net: Object) -> str:
    kind = str(net.get("type")).rpartition(".")[2]
    total, trainable = net.get("parameters"), net.get("trainable")
    if not isinstance(total, int) or not isinstance(trainable, int):
        return f"{kind}, of a size not known yet (lazy parameters)"
    if trainable == total:
        how = "all trainable"
    else:
        how = f"{trainable:,} trainable" if trainable else "none trainable"
    places = sorted({str(t.get("device")) for t in _tensors(net)})
    kinds = sorted({str(t.get("dtype")) for t in _tensors(net)})
    where = f", {', '.join(kinds)} on {', '.join(places)}" if places else ""
    return f"{kind}: {total:,} parameters, {how}, {bytes_text(net.get('bytes'))}{where}"


def _tensors(net: Object) -> Iterator[Object]:
    for module in modules_of(net):
        yield from _objects(module.get("parameters"))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    yield from (
        each for each in (value if isinstance(value, list) else ()) if isinstance(each, dict)
    )


def _module_row(module: Object) -> tuple[str, str, str]:
    about = f"({module['about']})" if module.get("about") else ""
    kind = str(module.get("type")).rpartition(".")[2]
    own = list(_objects(module.get("parameters")))
    sizes = [t.get("elements") for t in own if not t.get("same_as")]
    known = [size for size in sizes if isinstance(size, int)]
    count = f"{sum(known):,}" if len(known) == len(sizes) else "?"
    frozen = sum(not t.get("requires_grad") for t in own)
    words = [count] if own else [""]
    if frozen:
        words.append("frozen" if frozen == len(own) else "partly frozen")
    return str(module.get("name")), f"{kind}{about}", " ".join(words)


def _folded(modules: Sequence[Object]) -> list[tuple[str, str, str]]:
    """Rows of modules; equal blocks that follow one another (`layers.0`, `layers.1`) as one."""
    top = [m for m in modules if _depth(m) == 0]
    names = [str(m["name"]) for m in top]
    inner = {n: [m for m in modules if str(m["name"]).startswith(f"{n}.")] for n in names}
    rows: list[tuple[str, str, str]] = []
    for module in top:
        children = inner[str(module["name"])]
        if not children:
            rows.append(_module_row(module))
            continue
        rows.append(_block_row(module, children))
        blocks = [m for m in children if _depth(m) == 1]
        of = {
            id(m): [c for c in children if str(c["name"]).startswith(f"{m['name']}.")]
            for m in blocks
        }
        described = [(_block_row(m, of[id(m)]) if of[id(m)] else _module_row(m)) for m in blocks]
        for _, group in groupby(described, key=lambda row: row[1:]):
            same = list(group)
            name = same[0][0]
            if len(same) > 1:
                name = f"{name} … {same[-1][0].rpartition('.')[2]}"
            count = f"{len(same)} × " if len(same) > 1 else ""
            rows.append((f"  {name}", f"{count}{same[0][1]}", same[0][2]))
    return rows


def _block_row(module: Object, children: Sequence[Object]) -> tuple[str, str, str]:
    """A module with all that is inside it."""
    own = [t for m in (module, *children) for t in _objects(m.get("parameters"))]
    sizes = [t.get("elements") for t in own if not t.get("same_as")]
    known = [size for size in sizes if isinstance(size, int)]
    count = f"{sum(known):,}" if len(known) == len(sizes) else "?"
    if own and not any(t.get("requires_grad") for t in own):
        count += " frozen"
    return str(module["name"]), str(module.get("type")).rpartition(".")[2], count if own else ""


def _depth(module: Object) -> int:
    return str(module.get("name")).count(".")


def _optimizer(optimizer: Object) -> str:
    kind = str(optimizer.get("type")).rpartition(".")[2]
    groups = list(_objects(optimizer.get("groups")))
    rates = []
    for group in groups:
        settings = group.get("settings")
        if isinstance(settings, dict) and "lr" in settings:
            rates.append(number_text(settings["lr"]))
    tensors = sum(n for g in groups if isinstance(n := g.get("n_tensors"), int))
    rate = f" at first with lr {', '.join(rates)}" if rates else ""
    return f"{kind} holds {tensors} parameter tensors{rate}"


def _sampled(net: Object) -> str:
    if not net["samples"]:
        return "no step was sampled"
    steps = f"steps {net['first_step']} to {net['last_step']}"
    return f"sampled {net['samples']} times, {steps}; `--model` shows what came of it"


def statistics_lines(
    nets: Mapping[str, Object], last: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the whole trees, and tables of parameters, activations and learning rates."""
    for line in net_lines(nets, whole=True):
        yield line.partition("; `--model`")[0]
    last = {tensor: last[tensor] for tensor in sorted(last, key=_place(nets))}
    parameters = {t: s for t, s in last.items() if "weight_norm" in s}
    if parameters:
        yield ""
        yield "Parameters, when last sampled"
        yield from _statistics(parameters, _PARAMETERS, ("weight_nonfinite", "gradient_nonfinite"))
    outputs = {t: s for t, s in last.items() if "activation_mean" in s}
    if outputs:
        yield ""
        yield "Activations, when last sampled"
        named = {
            tensor: {k.removeprefix("activation_"): v for k, v in found.items()}
            for tensor, found in outputs.items()
        }
        yield from _statistics(named, _ACTIVATIONS, ("nonfinite",))
    rates = {t: s["learning_rate"] for t, s in last.items() if "learning_rate" in s}
    if rates:
        yield ""
        for tensor, rate in rates.items():
            yield clean(f"learning rate of {tensor}: {number_text(rate)}")


def _place(nets: Mapping[str, Object]) -> Callable[[str], tuple[int, str]]:
    """Sorts tensors in the order in which the net has them; the whole net comes first."""
    places: dict[str, int] = {}
    for name, net in nets.items():
        inside = f"{name}." if name else ""
        for module in modules_of(net):
            at = places.setdefault(f"{inside}{module.get('name')}", len(places) + 1)
            for tensor in _objects(module.get("parameters")):
                places[f"{inside}{module.get('name')}.{tensor.get('name')}".lstrip(".")] = at
    last = len(places) + 1

    def place(tensor: str) -> tuple[int, str]:
        whole = tensor.endswith(("(model)", ".(input)")) or tensor == "(input)"
        module = tensor.partition("(input)")[0].partition("#")[0]
        return (0 if whole else places.get(module, last)), tensor

    return place


def _statistics(
    last: Mapping[str, Mapping[str, Any]], names: Sequence[str], bad: Sequence[str]
) -> Iterator[str]:
    columns = [Column("tensor", list(last), can_shrink=True)]
    for name in names:
        cells = [number_text(found.get(name)) for found in last.values()]
        columns.append(Column(name, cells, is_number=True))
    counts = [[found.get(name) for name in bad] for found in last.values()]
    if any(count for row in counts for count in row):
        cells = [number_text(sum(n for n in row if n)) for row in counts]
        columns.append(Column("non-finite", cells, is_number=True))
    yield from _table(columns)


def _table(columns: list[Column]) -> list[str]:
    width = terminal_width()
    return render(columns, None if width is None else width - 2)[0]
