"""The ways between parameters, outputs and loss in one plain forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import leaves
from labbook.checks.bench import Bench
from labbook.checks.graph import Calls, calls_heard, graph_leaves, nodes
from labbook.checks.models import in_eval
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot
from labbook.checks.torch_calls import Call, torch_calls

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Dead", "Paths", "paths"]


@dataclass(frozen=True)
class Dead:
    """A non-linearity all of whose outputs on a batch are the same constant, or saturated."""

    name: str
    what: str
    where: str


@dataclass
class Paths:
    """Names of parameters: given to some call (`used`), also in eval mode (`in_eval`), and those
    that reach only outputs that no call of the loss is given (`unused_outputs`).
    """

    used: set[str] = field(default_factory=set)
    in_eval: set[str] = field(default_factory=set)
    in_loss: set[str] = field(default_factory=set)
    unused_outputs: set[str] = field(default_factory=set)

    def cut(self, bench: Bench, names: set[str]) -> tuple[str, str]:
        """What keeps these parameters from the loss, and where; empty where nothing is found."""
        model = bench.model()
        ids = {id(p) for n, p in model.named_parameters() if n in names}
        calls = Calls()
        with calls_heard(calls):
            outcome = bench.run(model, bench.batch)
        found = calls.cut_of(ids)
        if found is not None:
            return found.how, found.where
        for node in nodes([outcome.loss]):
            kind = getattr(node, "_forward_cls", None)
            if kind is not None and any(
                id(getattr(above, "variable", None)) in ids
                for above, _ in node.next_functions
                if above is not None
            ):
                return f"{kind.__name__}.backward()", place_of(kind)
        return "", ""

    def dead(self, bench: Bench) -> Dead | None:
        """The last non-linearity in a plain forward pass that passes no gradient on at all."""
        calls: list[Call] = []
        with torch_calls(calls):
            bench.run(bench.model(), bench.batch)
        for call in reversed(calls):
            what = _dead(call)
            if what:
                return Dead(f"{call.name}()", what, call.where)
        return None


_RECTIFIERS = {"relu", "relu_", "relu6", "threshold", "hardtanh", "clamp", "clamp_min", "clip"}


def _dead(call: Call) -> str:
    made = next((t for t in leaves(call.result) if t.is_floating_point()), None)
    if made is None or not made.requires_grad or made.numel() < 2:
        return ""
    made = made.detach()
    if call.name in _RECTIFIERS or call.name in {"round", "sign", "floor", "ceil"}:
        low, high = float(made.min()), float(made.max())
        if low == high and (low == 0 or call.name not in {"relu", "relu_", "clamp_min"}):
            return f"{low:g}"
        if call.name in {"round", "sign", "floor", "ceil"}:
            return "steps without slope"
    if call.name in {"sigmoid", "tanh", "sigmoid_", "tanh_", "hardsigmoid"}:
        low = 0.0 if "sigmoid" in call.name else -1.0
        if bool(((made == low) | (made == 1.0)).all()):
            return f"{low:g} or 1"
    return ""


def paths(bench: Bench) -> Paths:
    """One plain forward pass in train mode and one in eval mode; `bench.shared` it."""
    model = bench.model()
    found = Paths()
    calls = Calls()
    with calls_heard(calls):
        output = bench.forward(model, bench.batch)
    names = {id(p): n for n, p in model.named_parameters()}
    found.used = {names[i] for i in calls.used if i in names}
    parts = [t for t in leaves(_plain(output)) if t.requires_grad]
    in_output = {i for i in graph_leaves(parts) if i in names}
    found.used |= {names[i] for i in in_output}
    try:
        loss, given = _loss(bench, model, output)
    except Cannot:
        return found
    in_loss = set(graph_leaves([loss])) if loss.requires_grad else set()
    found.in_loss = {names[i] for i in in_loss if i in names}
    ignored = [t for t in parts if id(t) not in given and t is not loss]
    reached = set(graph_leaves([t for t in parts if id(t) in given]))
    beside = set(graph_leaves(ignored)) - reached - in_loss
    found.unused_outputs = {names[i] for i in beside if i in names}
    found.in_eval = _in_eval(bench)
    return found


def _plain(output: Any) -> Any:
    """An output object of attributes as a mapping."""
    if hasattr(output, "to_tuple"):
        return output.to_tuple()
    is_plain = isinstance(output, (tuple, list, dict)) or hasattr(output, "grad_fn")
    return output if is_plain or not hasattr(output, "__dict__") else vars(output)


def _loss(bench: Bench, model: nn.Module, output: Any) -> tuple[Any, set[int]]:
    """The loss and the `id`s of the tensors that its calls are given."""
    calls: list[Call] = []
    with torch_calls(calls):
        loss = bench.loss(output, bench.batch.to(bench.device_of(model)).target)
    return loss, {id(t) for call in calls for t in leaves((call.args, call.kwargs))}


def _in_eval(bench: Bench) -> set[str]:
    model = in_eval(bench)
    names = {id(p): n for n, p in model.named_parameters()}
    calls = Calls()
    with calls_heard(calls):
        bench.forward(model, bench.batch)
    return {names[i] for i in calls.used if i in names}
