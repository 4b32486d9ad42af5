"""The model is what was meant: every layer registered, none shared by accident."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.graph import graph_leaves
from labbook.checks.hidden import hidden
from labbook.checks.models import as_made
from labbook.checks.naming import listed
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.torch_calls import Call, torch_calls

UNREGISTERED = Rule(
    "model/unregistered",
    kind="static",
    stage="gradient",
    says="layers that the model uses are not registered in it",
    formula="a leaf of the loss's graph that is no parameter of the model, but lies in a list, "
    "dict, tuple or plain attribute of one of its modules, or is a Parameter made in the "
    "forward pass; in the optimizer all the same: warn",
    needs=("loader",),
    advice="double-check the model actually is what you thought you defined",
    causes=(
        "modules in a plain list, dict or tuple",
        "a tensor where nn.Parameter was meant",
        "a layer that is made inside forward()",
    ),
    fix="nn.ModuleList(…), nn.ModuleDict(…), nn.Parameter(…)",
    false_positives="layers that are hidden from the model on purpose and trained elsewhere",
    source="exact, by identity in the autograd graph",
)

SHARED = Rule(
    "model/shared-by-accident",
    kind="static",
    stage="model",
    says="one module stands in several places",
    formula="the same module with parameters twice in one Sequential or ModuleList: warn; two "
    "Parameters of the same storage: a note",
    advice="double-check the model actually is what you thought you defined",
    causes=("[layer] * n repeats one layer", "a copy that was not deep"),
    fix="[make_layer() for _ in range(n)], or copy.deepcopy(layer)",
    false_positives="weights shared over depth on purpose",
    source="exact, by identity",
)

DROPOUT = Rule(
    "model/dropout",
    kind="static",
    stage="model",
    says="dropout leaves little to learn from",
    formula="p > `p` in a dropout module, a recurrent or attention layer, or a call of F.dropout",
    limits={"p": 0.8},
    advice="keep it as simple as you can; regularize after it fits",
    causes=("p is the probability to drop, not to keep",),
    fix="nn.Dropout(p=0.1 … 0.5)",
    source="Schoop et al., UMLAUT, CHI 2021 (0.5 there)",
)

DTYPE = Rule(
    "model/dtype",
    kind="static",
    stage="model",
    says="the parameters' types differ, or are too small to learn in",
    formula="trainable float16 parameters: warn; trainable parameters of several types outside "
    "norm layers: a note",
    advice="check for casting, especially to lower precision",
    causes=(".half() for training", "a layer that was made or loaded in another type"),
    fix="keep the weights in float32, and use torch.autocast",
    false_positives="optimizers that keep float32 copies of their own",
    source="Micikevicius et al., Mixed Precision Training, 2018",
)


@UNREGISTERED.on_subject
def unregistered(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the leaves of the loss's graph that the model does not know."""
    import torch

    model = bench.model()
    batch = bench.batch
    outcome = bench.run(model, batch)
    reached = graph_leaves([outcome.loss])
    known = {id(p) for p in model.parameters()} | _of_the_loss(bench)
    strange = {i: t for i, t in reached.items() if i not in known}
    named = {id(t): path for path, t in hidden(model)}
    paths = [named[i] for i in strange if i in named]
    made = [t for i, t in strange.items() if i not in named and isinstance(t, torch.nn.Parameter)]
    held = _held(bench, model)
    others = _global(bench) | held
    made = [t for t in made if id(t) not in others]
    if made:  # what is there again in a second pass was made elsewhere
        again = graph_leaves([bench.run(model, batch).loss])
        made = [t for t in made if id(t) not in again]
    if not paths and not made:
        return
    is_held = bool(paths) and all(i in held for i in strange if i in named) and not made
    say = UNREGISTERED.warn if is_held else UNREGISTERED.fail
    if paths:
        paths.sort(key=list(named.values()).index)
        evidence = f"{len(paths)} tensors that get gradients are in none of the model's "
        evidence += f"parameters(): {listed(paths)}"
        yield say(
            value=float(len(paths)), limit=0.0, where=_place(model, paths[0]), evidence=evidence
        )
        return
    yield say(
        value=float(len(made)),
        limit=0.0,
        where=_made_at(bench, made) or place_of(type(model)),
        evidence=f"{len(made)} parameters of shape {tuple(made[0].shape)} and the like are used "
        "in the forward pass, but are not the model's",
        fix="make the layer in __init__(), and use it in forward()",
    )


def _of_the_loss(bench: Bench) -> set[int]:
    import torch

    loss = bench.subject.loss
    return {id(p) for p in loss.parameters()} if isinstance(loss, torch.nn.Module) else set()


def _global(bench: Bench) -> set[int]:
    """Parameters of modules that the user's functions reach by name, and others hold."""
    from labbook.checks.reach import reached

    found: set[int] = set()
    for value in reached(bench.subject):
        if hasattr(value, "parameters") and value is not bench.subject.model:
            found |= {id(p) for p in value.parameters()}
    return found


def _held(bench: Bench, model: Any) -> set[int]:
    try:
        optimizer = bench.optimizer(model)
    except Cannot:
        return set()
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def _place(model: Any, path: str) -> str:
    """`blocks of net.py:12 Net`."""
    words, owner = path.replace("[", ".").replace("()", "").split("."), model
    n = 0
    while n < len(words) and words[n] in owner._modules:
        owner, n = owner._modules[words[n]], n + 1
    head = ".".join(words[: n + 1])
    place = place_of(type(owner))
    return f"{head} of {place}" if ":" in place else head


def _made_at(bench: Bench, made: list[Any]) -> str:
    """The line of the call that first gets a parameter of this shape which is not the model's."""
    import torch

    model = bench.model()
    own = {id(p) for p in model.parameters()}
    calls: list[Call] = []
    with torch_calls(calls):
        bench.run(model, bench.batch)
    for call in calls:
        for t in call.args:
            if isinstance(t, torch.nn.Parameter) and id(t) not in own:
                return call.where
    return ""


@SHARED.on_subject
def shared(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for one module in several places of a list, and for shared storage."""
    import torch

    model = as_made(bench)
    for name, module in model.named_modules():
        if not isinstance(module, (torch.nn.Sequential, torch.nn.ModuleList)):
            continue
        parts = [m for m in module._modules.values() if m is not None]
        repeated = [m for m in parts if parts.count(m) > 1 and any(True for _ in m.parameters())]
        if repeated:
            yield SHARED.warn(
                value=float(parts.count(repeated[0])),
                limit=1.0,
                where=name or type(module).__name__,
                evidence=f"one {type(repeated[0]).__name__} stands {parts.count(repeated[0])} "
                f"times in {name or 'the model'}, with the same weights",
            )
            return
    seen: dict[Any, str] = {}
    for name, p in model.named_parameters():
        key = (p.data_ptr(), tuple(p.shape), p.stride())
        if p.numel() and p.data_ptr() and key in seen:
            yield SHARED.note(
                where=name,
                evidence=f"{seen[key]} and {name} are two Parameters of one storage",
                fix="tie weights as one Parameter: head.weight = embedding.weight",
            )
            return
        seen[key] = name


@DROPOUT.on_subject
def dropout(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look at the probabilities of dropout modules, and of what the forward pass calls."""
    found = [(p, name) for name, p in _probabilities(as_made(bench)) if p > limits["p"]]
    if not found and bench.subject.loader is not None:
        calls: list[Call] = []
        with torch_calls(calls):
            bench.forward(bench.model(), bench.batch)
        found = [(p, c.where) for c in calls if (p := _called(c)) > limits["p"]]
    if found:
        p, where = max(found)
        say = DROPOUT.fail if p >= 1 else DROPOUT.warn
        yield say(
            value=p, limit=limits["p"], where=where, evidence=f"dropout with p = {p:g} at {where}"
        )


def _probabilities(model: Any) -> Iterator[tuple[str, float]]:
    for name, module in model.named_modules():
        kind = type(module).__name__
        value = getattr(module, "p", None) if "Dropout" in kind else None
        if kind in {"LSTM", "GRU", "RNN", "MultiheadAttention"}:
            value = getattr(module, "dropout", None)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name or kind, float(value)


def _called(call: Call) -> float:
    if call.name not in {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"}:
        return 0.0
    value = call.kwargs.get("p", call.args[1] if len(call.args) > 1 else 0.0)
    is_on = call.kwargs.get("training", call.args[2] if len(call.args) > 2 else True)
    return float(value) if is_on and isinstance(value, (int, float)) else 0.0


@DTYPE.on_subject
def dtype(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare the types of the trainable parameters."""
    import torch

    kinds: dict[Any, list[str]] = {}
    model = as_made(bench)
    for name, p in model.named_parameters():
        owner = model.get_submodule(name.rpartition(".")[0])
        if p.requires_grad and p.is_floating_point() and "Norm" not in type(owner).__name__:
            kinds.setdefault(p.dtype, []).append(name)
    shown = ", ".join(f"{str(k).removeprefix('torch.')}: {listed(v)}" for k, v in kinds.items())
    if torch.float16 in kinds:
        yield DTYPE.warn(where=kinds[torch.float16][0], evidence=shown)
    elif len(kinds) > 1:
        yield DTYPE.note(where=min(kinds.values(), key=len)[0], evidence=shown)
