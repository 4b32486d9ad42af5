"""Layers and functions of one's own that no test mentions; augmentation before anything fits."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from labbook.checks.bench import Bench
from labbook.checks.digests import digest
from labbook.checks.finding import Finding
from labbook.checks.place import is_users, place_of
from labbook.checks.rule import Cannot, Limits, Rule
from labbook.checks.rules.overfit import FEW, fit_few

UNTESTED = Rule(
    "code/untested",
    kind="static",
    stage="model",
    says="autograd functions of your own that no test mentions",
    formula="subclasses of torch.autograd.Function in the subject's files whose names occur in no "
    "test_*.py of the project",
    advice="test correctness or settle for incorrectness",
    fix="torch.autograd.gradcheck(F.apply, …) in a test, or labbook.same_as(fast, slow, inputs)",
    source="exact, by name",
)

AUGMENT = Rule(
    "ledger/augment-before-fit",
    kind="probe",
    stage="fit",
    says="the data is augmented, and a few examples cannot be fitted yet",
    formula="the same example differs from one pass to the next, and fit/overfit-few fails",
    needs=("loader",),
    follows=("data/*", "loss/*", "grad/*", "model/*", "init/*", "loop/*", "optim/*"),
    advice="just standardize at first, and only augment once there is a model and it fits",
    fix="leave the random transforms out until a few examples are fitted",
    source="Shelhamer, DIY Deep Learning",
)


@UNTESTED.on_subject
def untested(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Names of classes against the text of tests."""
    import torch

    own = [
        kind
        for module in _modules(bench)
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, torch.autograd.Function)
        and kind.__module__ == module.__name__
    ]
    if not own:
        return
    text = "\n".join(_tests(Path(sys.modules[own[0].__module__].__file__ or ".")))
    missing = [kind for kind in own if not re.search(rf"\b{kind.__name__}\b", text)]
    if missing:
        names = ", ".join(kind.__name__ for kind in missing)
        yield UNTESTED.note(
            value=len(missing),
            limit=0,
            where=place_of(missing[0]),
            evidence=f"{len(missing)} of {len(own)} functions with a backward of their own are in "
            f"no test: {names}",
        )


def _modules(bench: Bench) -> list[ModuleType]:
    names = {type(m).__module__ for m in bench.model().modules()}
    names |= {getattr(part, "__module__", "") for part in (bench.subject.loss, bench.subject.train)}
    found = [sys.modules[name] for name in sorted(filter(None, names)) if name in sys.modules]
    return [m for m in found if getattr(m, "__file__", None) and is_users(str(m.__file__))]


def _tests(file: Path) -> Iterator[str]:
    """The text of the project's tests: up to the folder with .git, else beside the file."""
    top = next((p for p in file.resolve().parents if (p / ".git").exists()), file.resolve().parent)
    for n, path in enumerate(top.rglob("test_*.py")):
        if n >= 500:
            return
        try:
            yield path.read_text(errors="replace")
        except OSError:
            continue


@AUGMENT.on_subject
def augment(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """Read the first example of the dataset twice."""
    dataset = getattr(bench.subject.loader, "dataset", None)
    if dataset is None or not hasattr(dataset, "__getitem__"):
        raise Cannot("the loader has no dataset to read an example of")
    try:
        one, two = (bench.split(dataset[0]) for _ in range(2))
    except Exception as error:  # whatever the user's dataset raises
        raise Cannot(f"dataset[0] raised {type(error).__name__}") from error
    if digest(one.inputs) == digest(two.inputs) or bench.shared(fit_few).reaches(FEW.limits):
        return
    yield AUGMENT.note(where=place_of(dataset), evidence="dataset[0] is another each time")
