"""Several devices: copies between them, and whether more of them are faster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from labbook.book.throughput import throughput
from labbook.checks.bench import Bench
from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

COPY = Rule(
    "dist/copy",
    kind="probe",
    stage="devices",
    says="a tensor changes on its way from one device to another",
    formula="the model's own weights from the host to device i, to device j and back: bitwise "
    "equal, for each pair",
    advice="make your model work on a single device first",
    causes=("peer-to-peer copies are broken by the driver, the board or its virtualisation",),
    fix="NCCL_P2P_DISABLE=1, and tell the administrator of this machine",
    source="TrainCheck (OSDI 2025): pytorch-84803, pytorch-96600",
)

SCALING = Rule(
    "dist/scaling",
    kind="ledger",
    stage="devices",
    says="more processes do not make it faster",
    formula="examples a second of all ranks together, of runs with the same arguments: with n "
    "processes ≤ 1.05 · with fewer: fail; efficiency per process < `warn`: warn, < `note`: note",
    limits={"warn": 0.7, "note": 0.85},
    advice="check that iterations/time actually improves!",
    causes=("the loop waits for its data", "small batches per device", "a slow interconnect"),
    fix="compare the loader's waiting share of both runs in labbook show",
    follows=("sys/loader-bound",),
    source="Shelhamer, DIY Deep Learning",
)

_LEAST_STEPS = 50


@COPY.on_subject
def copies(bench: Bench, limits: Limits) -> Iterator[Finding]:
    """All ordered pairs of CUDA devices."""
    import torch

    n = torch.cuda.device_count()
    if n < 2:
        raise Cannot("fewer than two devices here")
    tensors = [p.detach().cpu() for p in bench.model().parameters()] or [torch.randn(1 << 20)]
    devices = [torch.device("cuda", i) for i in range(n)]
    yield from damaged(tensors, devices, COPY)


def damaged(tensors: list[Any], devices: list[Any], rule: Rule) -> Iterator[Finding]:
    """A finding for each pair of devices between which some tensor is changed."""
    import torch

    for one in devices:
        for other in devices:
            bad = [t for t in tensors if not torch.equal(t.to(one).to(other).cpu(), t)]
            if one != other and bad:
                yield rule.fail(
                    value=len(bad),
                    limit=0,
                    where=f"{one} to {other}",
                    evidence=f"{len(bad)} of {len(tensors)} weights arrive changed",
                )


@SCALING.on_book
def scaling(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Runs that differ in the number of processes alone."""
    speeds = _speeds(run)
    if len(speeds) < 2:
        raise Cannot("not recorded: no two runs with the same arguments on other process counts")
    few = min(speeds)
    for n in sorted(speeds)[1:]:
        below = speeds[max(m for m in speeds if m < n)]
        share = speeds[n] / speeds[few] * few / n
        if speeds[n] <= 1.05 * below:
            say, limit = SCALING.fail, 1.05
        elif share < limits["warn"]:
            say, limit = SCALING.warn, limits["warn"]
        elif share < limits["note"]:
            say, limit = SCALING.note, limits["note"]
        else:
            continue
        yield say(
            value=share,
            limit=limit,
            where=f"{n} processes",
            evidence=f"{few} give {speeds[few]:.4g} examples a second and {n} give "
            f"{speeds[n]:.4g}: {share:.0%} of what each gave alone",
        )


def _speeds(run: Recorded) -> dict[int, float]:
    """Processes -> examples a second of all ranks, the best of the runs with these arguments."""
    found: dict[int, float] = defaultdict(float)
    if run.book is None:
        raise Cannot("not recorded: no book")
    own = run.arguments
    for run_id in run.book.ids()[:50]:
        other = Recorded(run.book.run(run_id))
        if other.arguments != own:
            continue
        size = other.run.conditions.get("world_size")
        for entry in throughput(other.run.facts):
            rate = entry["examples_per_second"]
            if isinstance(size, int) and rate and entry["steps"] >= _LEAST_STEPS:
                found[size] = max(found[size], rate * size)
    return dict(found)
