"""What the optimizer holds: the model's parameters, all of them, and none that cannot move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from labbook.checks.bench import Bench, UserError
from labbook.checks.finding import Finding
from labbook.checks.meant import beside_adapters, following
from labbook.checks.naming import listed
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.trained import Seen, Trained, trained

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

FOREIGN = Rule(
    "optim/foreign-parameters",
    kind="static",
    stage="gradient",
    says="the optimizer holds parameters of another model",
    formula="none of the optimizer's parameters is the model's: fail; some are not, and parameters "
    "of the same shapes in the model are in no optimizer: fail",
    needs=("optimizer",),
    advice="double-check the model actually is what you thought you defined",
    causes=(
        "the optimizer was made for another instance of the model",
        "a layer was replaced after the optimizer was made",
    ),
    fix="make the optimizer last, from the model that is trained: Adam(model.parameters())",
    false_positives="one optimizer for two models; alarms only if this model's lack one",
    source="exact, by identity",
)

MISSING = Rule(
    "optim/missing-parameters",
    kind="static",
    stage="gradient",
    says="parameters get gradients, but no optimizer holds them",
    formula="a parameter that requires grad, receives gradients in the first steps, is in no group "
    "of an optimizer, and does not change",
    needs=("optimizer", "loader"),
    follows=(
        "optim/foreign-parameters",
        "optim/step-missing",
        "model/unregistered",
        "loop/no-step*",
        "loop/optimizer-rebuilt*",
    ),
    advice="double-check the model actually is what you thought you defined",
    causes=(
        "the optimizer was given one part of the model",
        "a layer was added or replaced after the optimizer was made",
    ),
    fix="Adam(model.parameters()); what is frozen on purpose: requires_grad_(False)",
    false_positives="a part kept fixed on purpose without requires_grad_(False)",
    source="exact, by identity",
)

FROZEN = Rule(
    "optim/mostly-frozen",
    kind="static",
    stage="gradient",
    says="much of what the optimizer holds is frozen",
    formula="share of the optimizer's tensors of the model with requires_grad=False ≥ `share`, or "
    "a whole linear, convolutional or recurrent layer with its bias among them, or ≥ `numbers` of "
    "all numbers: warn, all: fail; "
    "pretrained models: a note; bases of adapters and teachers are left alone",
    limits={"share": 0.5, "numbers": 0.9},
    needs=("optimizer",),
    advice="double-check the model actually is what you thought you defined",
    causes=(
        "requires_grad=False was left on",
        "the wrong part was frozen",
    ),
    fix="model.requires_grad_(True), or give the optimizer only what is trained",
    false_positives="a frozen backbone that the optimizer was given all the same",
    source="Jiang et al., Training with Confidence, OSDI 2025 (forum-84911)",
)

DUPLICATE = Rule(
    "optim/duplicate-parameters",
    kind="static",
    stage="gradient",
    says="the optimizer holds a parameter twice",
    formula="a parameter, or two of the same storage and shape, occurs twice in the groups",
    needs=("optimizer",),
    advice="double-check the model actually is what you thought you defined",
    causes=("lists of parameters that overlap", "weights tied through .data"),
    fix="give each parameter once; tie weights as the same Parameter: head.weight = emb.weight",
    source="exact, by identity and storage",
)


def _held(bench: Bench) -> tuple[nn.Module, list[Tensor]]:
    """The model and what its optimizer holds; the user's own where they gave both as objects."""
    import torch

    source = bench.subject.optimizer
    if hasattr(source, "param_groups"):
        model = bench.subject.model
        if not isinstance(model, torch.nn.Module):
            raise Cannot(
                "an optimizer object beside a function that makes the model: give a "
                "function optimizer(model)"
            )
        held = source
    else:
        model, held = bench.shared(_as_made)
    return model, [p for group in held.param_groups for p in group["params"]]


def _as_made(bench: Bench) -> tuple[nn.Module, Optimizer]:
    model = bench.model()
    return model, bench.optimizer(model)


@FOREIGN.on_subject
def foreign(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare the optimizer's parameters with the model's, by identity."""
    model, held = _held(bench)
    own = {id(p): name for name, p in model.named_parameters()}
    if not own:
        raise Cannot("the model has no parameters")
    strange = [p for p in held if id(p) not in own]
    ids = {id(p) for p in held}
    lacking = [name for name, p in model.named_parameters() if id(p) not in ids and p.requires_grad]
    where = place_of(bench.subject.optimizer) if callable(bench.subject.optimizer) else ""
    if held and len(strange) == len(held) and lacking:
        yield FOREIGN.fail(
            value=float(len(strange)),
            limit=0.0,
            where=where,
            evidence=f"none of the {len(held)} tensors in the optimizer is a parameter of the "
            "model",
        )
        return
    hidden = {id(p) for _, p in _hidden(model)}
    replaced = [p for p in strange if id(p) not in hidden]
    if (
        replaced
        and lacking
        and not bench.subject.pretrained
        and _stands_for(model, lacking, replaced)
    ):
        yield FOREIGN.fail(
            value=float(len(replaced)),
            limit=0.0,
            where=where,
            evidence=f"{len(replaced)} of {len(held)} tensors in the optimizer are not the "
            f"model's, and {listed(lacking)} {'is' if len(lacking) == 1 else 'are'} in none of "
            "its groups",
        )


def _stands_for(model: nn.Module, lacking: Sequence[str], strange: Sequence[Tensor]) -> bool:
    """Whether what is strange could be what the model had in place of what is lacking."""
    parameters = dict(model.named_parameters())
    lacks = sorted(parameters[name].ndim for name in lacking)
    return lacks == sorted(p.ndim for p in strange)


def _hidden(model: nn.Module) -> list[tuple[str, Tensor]]:
    from labbook.checks.hidden import hidden

    return hidden(model)


@MISSING.on_subject
def missing(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for parameters that get gradients in the first steps and stay what they are."""
    _held(bench)  # raises what an optimizer of another model says
    seen = bench.shared(trained)
    if seen.optimizer is None:
        raise Cannot("the optimizer cannot be tried on a copy")
    left = [s for s in seen.seen.values() if _is_left(seen, s)]
    if left:
        say = MISSING.note if bench.subject.pretrained else MISSING.fail
        total = sum(s.parameter.requires_grad for s in seen.seen.values())
        yield say(
            value=float(len(left)),
            limit=0.0,
            where=_optimizer_place(bench),
            evidence=f"{len(left)} of {total} trainable parameters are in no optimizer: "
            f"{listed([s.name for s in left])}",
        )
        return
    yield from _of_the_loss(bench)


def _is_left(seen: Trained, one: Seen) -> bool:
    if seen.holds(one) or one.has_changed or not one.parameter.requires_grad:
        return False
    return one.received > 0 or one.is_new


def _of_the_loss(bench: Bench) -> Iterator[Finding]:
    """Parameters of the loss itself, such as learned weights of its terms."""
    import torch

    loss = bench.subject.loss
    if not isinstance(loss, torch.nn.Module) or bench.subject.train is not None:
        return
    own = [(n, p) for n, p in loss.named_parameters() if p.requires_grad]
    _, held = _held(bench)
    ids = {id(p) for p in held}
    left = [n for n, p in own if id(p) not in ids]
    if left:
        yield MISSING.warn(
            value=float(len(left)),
            limit=0.0,
            where=_optimizer_place(bench),
            evidence=f"the loss has parameters of its own in no optimizer: {listed(left)}",
            fix="Adam([*model.parameters(), *loss.parameters()])",
        )


def _optimizer_place(bench: Bench) -> str:
    source = bench.subject.optimizer
    if hasattr(source, "param_groups") and bench.subject.train is not None:
        return place_of(bench.subject.train)
    return place_of(source) if callable(source) else type(source).__name__


@FROZEN.on_subject
def frozen(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Count the frozen tensors among those that the optimizer holds."""
    model, held = _held(bench)
    names = {id(p): name for name, p in model.named_parameters()}
    stuck = {names[id(p)] for p in held if id(p) in names and not p.requires_grad}
    where = ""
    if not stuck and bench.subject.train is not None:
        stuck, names = _frozen_by_train(bench, names)
        where = place_of(bench.subject.train)
    stuck -= following(model)
    if not stuck or (beside_adapters(model) and not _are_biases(model)):
        return
    held_names = [names[id(p)] for p in held if id(p) in names] or list(names.values())
    share = len(stuck) / max(1, len(held_names))
    layers = _layers(model, stuck)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    whole = sum(sizes.get(name, 0) for name in held_names)
    is_most = sum(sizes.get(name, 0) for name in stuck) >= limits["numbers"] * max(1, whole)
    alarms = (share >= limits["share"] or layers or is_most) and not bench.subject.pretrained
    say = FROZEN.note if not alarms else FROZEN.fail if share == 1 else FROZEN.warn
    yield say(
        value=share,
        limit=limits["share"],
        where=where or _frozen_place(bench, sorted(stuck)),
        evidence=f"{len(stuck)} of the {len(held_names)} tensors in the optimizer have "
        f"requires_grad=False: {listed(sorted(stuck))}"
        + (f", among them all of {listed(layers)}" if layers else ""),
    )


def _are_biases(model: nn.Module) -> bool:
    """Whether biases are all that trains: of a net from scratch that is nothing."""
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    return all(name.rpartition(".")[2].startswith("bias") for name in trained)


def _frozen_by_train(bench: Bench, names: dict[int, str]) -> tuple[set[str], dict[int, str]]:
    """What the user's loop itself freezes, and what it does not move."""
    try:
        seen = bench.shared(trained)
    except Cannot:
        return set(), names
    held = {n: s for n, s in seen.seen.items() if seen.holds(s)}
    own = {id(s.parameter): n for n, s in held.items()}
    return {n for n, s in held.items() if s.is_frozen}, own or names


def _frozen_place(bench: Bench, stuck: Sequence[str]) -> str:
    import torch

    source = bench.subject.model
    is_made = not isinstance(source, torch.nn.Module)
    return (place_of(source) if is_made else "") or stuck[0]


def _layers(model: nn.Module, stuck: set[str]) -> list[str]:
    """Linear, convolutional and recurrent layers with a bias that are frozen whole.

    A matrix alone may be a fixed projection or table.
    """
    import torch

    rnn, conv = torch.nn.RNNBase, torch.nn.modules.conv._ConvNd
    found: list[str] = []
    for prefix, module in model.named_modules():
        own = [f"{prefix}.{n}".lstrip(".") for n, p in module._parameters.items() if p is not None]
        is_layer = isinstance(module, (torch.nn.Linear, conv, rnn))
        if is_layer and len(own) >= 2 and set(own) <= stuck:
            found.append(prefix or type(module).__name__)
    return found


@DUPLICATE.on_subject
def duplicate(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Look for a parameter that stands twice in the groups."""
    try:
        model, held = _held(bench)
    except UserError as error:
        if "more than one parameter group" not in str(error):
            raise
        yield DUPLICATE.fail(where=_optimizer_place(bench), evidence=str(error))
        return
    names = {id(p): name for name, p in model.named_parameters()}
    seen: dict[Any, Tensor] = {}
    for p in held:
        key = (p.data_ptr(), tuple(p.shape), p.stride())
        if key in seen and p.numel() and p.data_ptr():
            one, other = (names.get(id(t), "a tensor") for t in (seen[key], p))
            what = f"{one} twice" if one == other else f"{one} and {other}, which share their data"
            yield DUPLICATE.warn(
                where=_optimizer_place(bench), evidence=f"the optimizer holds {what}"
            )
            return
        seen[key] = p
