"""Examples of a batch stay apart: the output follows the batch's size, and no example another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from labbook.checks.batch import Batch, leaves
from labbook.checks.bench import Bench, UserError
from labbook.checks.finding import Finding
from labbook.checks.mixing import Mixing, few, mixing, per_example, stepped
from labbook.checks.models import as_made, in_eval
from labbook.checks.place import place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.torch_calls import Call, torch_calls
from labbook.client.undisturbed import seed_all

if TYPE_CHECKING:
    from torch import Tensor, nn

SIZE = Rule(
    "model/batch-dim",
    kind="probe",
    stage="model",
    says="the output does not follow the number of examples",
    formula="outputs of two batches of different size have the same shape, or the model refuses "
    "the smaller one",
    needs=("loader",),
    advice="sanity check the model with dummy data of prime dimensions",
    causes=(
        "a view or reshape with a fixed batch size",
        "a mean, sum or squeeze over the batch axis",
    ),
    fix="keep axis 0: x.view(x.shape[0], -1), x.flatten(1), x.mean(dim=1)",
    false_positives="a model of one whole graph or set an input",
    source="Shelhamer, DIY Deep Learning",
)

MIXING = Rule(
    "model/batch-mixing",
    kind="probe",
    stage="model",
    says="the output of one example depends on other examples of the batch",
    formula="s = ⟨output[2], v⟩, v random, in eval mode: the largest |∂s/∂x[j≠2]| is more than "
    "`share` of |∂s/∂x[2]|; in train mode alone (batch norm in eval mode): a note",
    limits={"share": 1e-6},
    needs=("loader",),
    follows=("model/batch-dim", "loss/batch-softmax", "data/nonfinite"),
    advice="use backprop to chart dependencies",
    causes=(
        "a softmax, mean or norm over axis 0",
        "view or reshape where transpose or permute was meant",
        "an LSTM, GRU or attention without batch_first=True",
        "batch norm without running statistics",
    ),
    fix="keep axis 0 out of softmax(dim=…), mean(dim=…) and view(…); batch_first=True",
    false_positives="models that compare the examples of a batch on purpose",
    source="Karpathy, A Recipe for Training Neural Networks",
)

ALONE = Rule(
    "model/batch-mixing-eval",
    kind="probe",
    stage="model",
    says="in eval mode a prediction depends on what else is in the batch",
    formula="|f(x[:n])[i] − f(x[i:i+1])| > `relative` · max|f| for some i, in eval mode",
    limits={"relative": 1e-3},
    needs=("loader",),
    follows=(
        "model/batch-mixing",
        "model/batch-dim",
        "loss/batch-softmax",
        "data/nonfinite",
        "eval/not-repeatable",
    ),
    advice="switch to evaluation mode by model.eval() — no, really — and check that it took effect",
    causes=(
        "functional dropout without training=self.training",
        "batch norm with track_running_stats=False",
        "a statistic over axis 0",
    ),
    fix="F.dropout(x, p, training=self.training); batch norm with running statistics",
    false_positives="models that sample in eval mode on purpose",
    source="Shelhamer, DIY Deep Learning",
)


@SIZE.on_subject
def size(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare the output's shape for two sizes of batch."""
    batch = few(bench)
    whole = bench.batch
    larger = whole if whole.n > batch.n else batch
    smaller = batch if larger is whole else batch.take(range(batch.n - 2))
    large = _shapes(bench, larger)
    try:
        small = _shapes(bench, smaller)
    except UserError as error:
        if len(whole.inputs) > 1 or len(bench.first(2)) < 2:
            raise Cannot(f"a batch of {smaller.n} does not work: {error}") from error
        yield SIZE.fail(
            value=smaller.n,
            where=_place(bench),
            evidence=f"a batch of {larger.n} works, one of {smaller.n} does not: {error}",
        )
        return
    if _grows(large[0], small[0], larger.n, smaller.n):
        return
    if large != small:
        raise Cannot("the output grows with the batch, but not in proportion")
    yield SIZE.fail(
        value=f"{small[0]} and {large[0]}",
        where=_place(bench),
        evidence=f"{smaller.n} examples give an output of shape {small[0]}, {larger.n} examples "
        f"one of {large[0]}",
    )


def _shapes(bench: Bench, batch: Batch) -> list[tuple[int, ...]]:
    import torch

    with torch.no_grad():
        output = bench.forward(in_eval(bench), batch)
    main = bench.tensor(output)
    if isinstance(output, (list, tuple)) and len(output) == batch.n:
        raise Cannot("the output is a list of examples")
    if main.ndim == 0:
        raise Cannot("the output is one number")
    return [tuple(main.shape), *(tuple(t.shape) for t in leaves(output))]


def _grows(large: Sequence[int], small: Sequence[int], n: int, m: int) -> bool:
    """Whether some axis counts examples: grows in proportion."""
    if len(large) != len(small):
        return False
    return any(a * m == b * n and a != b for a, b in zip(large, small, strict=True))


def _place(bench: Bench) -> str:
    return place_of(type(as_made(bench)))


@MIXING.on_subject
def mixed(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Follow the gradient of one example's output to the other examples."""
    batch = few(bench)
    model = in_eval(bench)
    found = mixing(bench, model, batch)
    if found is None:
        found = mixing(bench, stepped(bench), batch)
    if found is None:
        raise Cannot("the output depends on no input")
    if found.share > limits["share"]:
        yield _mixes(bench, model, found, limits)
        return
    in_train = mixing(bench, _norms_frozen(bench.model().train()), batch)
    if in_train is not None and in_train.share > limits["share"]:
        yield MIXING.note(
            value=in_train.share,
            limit=limits["share"],
            where=in_train.where,
            evidence="in train mode alone the output of one example depends on others "
            f"({_by(in_train)})",
        )


def _mixes(bench: Bench, model: nn.Module, found: Mixing, limits: Limits) -> Finding:
    return MIXING.fail(
        value=found.share,
        limit=limits["share"],
        where=found.where or _place(bench),
        evidence=f"the gradient of one example's output on other examples is {found.share:.2g} of "
        f"that on its own, in eval mode ({_by(found)})",
    )


def _by(found: Mixing) -> str:
    return f"first in {found.call}" if found.call else "no single call found"


def _norms_frozen(model: nn.Module) -> nn.Module:
    import torch

    for module in model.modules():
        name = type(module).__name__
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) or "Dropout" in name:
            module.eval()
    return model


@ALONE.on_subject
def alone(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Compare each prediction of a small batch with that of the example alone."""
    import torch

    batch = few(bench)
    model = in_eval(bench)
    with torch.no_grad():
        dropout = _random_call(bench, model, batch)
        if dropout is not None:
            yield ALONE.warn(
                value=1.0,
                limit=limits["relative"],
                where=dropout.where,
                evidence=f"{dropout.name} is active in eval mode: two calls on the same batch "
                "give different outputs",
                causes=("functional dropout without training=self.training",),
                fix="F.dropout(x, p, training=self.training), or nn.Dropout",
            )
            return
        yield from _one_by_one(bench, model, batch, limits["relative"])


def _one_by_one(bench: Bench, model: nn.Module, batch: Batch, limit: float) -> Iterator[Finding]:
    n = batch.n
    together = per_example(bench, _forward(bench, model, batch), n)
    worst, at = 0.0, 0
    for i in range(n):
        bench.tick()
        try:
            alone = _forward(bench, model, batch.take([i]))
        except UserError as error:
            raise Cannot(f"a batch of one does not work: {error}") from error
        rows = [t for t in _floats(bench, alone) if t.ndim and len(t)]
        for whole, own in zip(together, rows, strict=False):
            part = whole.reshape(n, -1)[i].double()
            if part.numel() != own.numel():
                raise Cannot("the output for one example has another shape")
            scale = max(float(whole.double().abs().max()), 1e-12)
            gap = float((part - own.reshape(-1).double()).abs().max()) / scale
            if gap > worst:
                worst, at = gap, i
    if worst > limit:
        yield ALONE.fail(
            value=worst,
            limit=limit,
            where=_place(bench),
            evidence=f"example {at} of the first {n}: its output alone differs by {worst:.2g} of "
            "the largest output from its output in the batch, in eval mode",
        )


def _floats(bench: Bench, output: Any) -> list[Tensor]:
    kept: dict[int, Tensor] = {}
    for t in (bench.tensor(output), *leaves(output)):
        if t.is_floating_point():
            kept.setdefault(id(t), t)
    return list(kept.values())


def _random_call(bench: Bench, model: nn.Module, batch: Batch) -> Call | None:
    """The dropout that makes two calls differ; raises `Cannot` for other randomness."""
    import torch

    one = _floats(bench, _forward(bench, model, batch, 0))
    other = _floats(bench, _forward(bench, model, batch, 1))
    if all(torch.equal(a, b) for a, b in zip(one, other, strict=True)):
        return None
    calls: list[Call] = []
    with torch_calls(calls):
        _forward(bench, model, batch)
    found = next((c for c in calls if "dropout" in c.name and not _is_identity(c)), None)
    if found is None:
        raise Cannot("the model draws random numbers in eval mode")
    return found


def _is_identity(call: Call) -> bool:
    import torch

    given = next(leaves(call.args), None)
    made = next(leaves(call.result), None)
    return given is None or made is None or torch.equal(given, made)


def _forward(bench: Bench, model: nn.Module, batch: Batch, more: int = 0) -> Any:
    seed_all(bench.seed + more)
    return bench.forward(model, batch)
