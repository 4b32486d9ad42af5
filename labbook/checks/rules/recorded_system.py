"""What the machine says: waiting for data, an idle GPU, memory that grows, a loop that stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from labbook.book.throughput import throughput
from labbook.checks.curves import mad
from labbook.checks.finding import Finding
from labbook.checks.recorded import Recorded
from labbook.checks.rule import Cannot, Limits, Rule

LOADER = Rule(
    "sys/loader-bound",
    kind="free",
    stage="system",
    says="the loop waits for its data",
    formula="seconds waited in `run.loader` ÷ seconds of the loop > `warn`; above `note`: a note; "
    "after ≥ 20 steps and 30 s",
    limits={"warn": 0.3, "note": 0.1},
    advice="check that iterations per time actually improve",
    causes=("too few loader workers", "decoding or augmentation is slow", "a slow file system"),
    fix="DataLoader(num_workers=…, persistent_workers=True), or cache what is decoded",
    source="SageMaker Debugger IOBottleneck: 50 %",
)

IDLE = Rule(
    "sys/gpu-idle",
    kind="free",
    stage="system",
    says="the GPU has little to do",
    formula="95th percentile of its utilisation < `busy` over ≥ 120 samples while steps were taken",
    limits={"busy": 70},
    advice="look at the machine too",
    causes=("small batches", "waiting for data", "waiting for the host in each step (.item())"),
    fix="a larger batch; fewer synchronisations; labbook show says what the loop waits for",
    follows=("sys/loader-bound",),
    source="SageMaker Debugger LowGPUUtilization",
)

MEMORY = Rule(
    "sys/memory-growth",
    kind="free",
    stage="system",
    says="memory grows all the time",
    formula="memory rose in ≥ 90 % of ten equal spans after the first quarter, by > `growth` in "
    "all, and by > 64 MiB",
    limits={"growth": 0.1},
    advice="log everything, memory too",
    causes=("a loss is added up with its graph: total += loss", "outputs kept in a list"),
    fix="total += loss.item(), or .detach() what is kept",
    false_positives="caches that fill once; they end",
    source="SageMaker Debugger GPUMemoryIncrease: 10 %",
)

SLOWER = Rule(
    "sys/throughput-drop",
    kind="free",
    stage="system",
    says="steps became slower for good",
    formula="median steps a second of the last quarter < `share` of that of the second quarter, "
    "by more than 5 spreads",
    limits={"share": 0.7},
    advice="check that iterations per time actually improve",
    causes=("another program on this machine", "throttling", "memory that grows"),
    fix="labbook top; labbook show",
    follows=("sys/memory-growth",),
    source="SageMaker Debugger StepOutlier",
)

STALLED = Rule(
    "sys/stalled",
    kind="free",
    stage="system",
    says="nothing was logged for a long time",
    formula="a running run whose last value is older than max(`seconds`, 20 × median interval)",
    limits={"seconds": 1800},
    advice="it is heartbreaking to wait, and then crash",
    causes=("a deadlock between workers or ranks", "a slow evaluation", "a hung file system"),
    fix="py-spy dump --pid PID shows where it stands",
    source="SageMaker Debugger StalledTrainingRule: 1800 s",
)

_GPU = re.compile(r"gpu\.\d+\.(utilisation|utilization|gpu_percent|percent)$")


@LOADER.on_run
def loader(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Each loader that was wrapped."""
    found = [entry for entry in throughput(run.run.facts) if entry["wait_percent"] is not None]
    if not found:
        raise Cannot("not recorded: no loop over run.loader(…)")
    for entry in found:
        share = entry["wait_percent"] / 100
        if entry["steps"] < 20 or (entry["seconds"] or 0) < 30 or share <= limits["note"]:
            continue
        is_much = share > limits["warn"]
        say = LOADER.warn if is_much else LOADER.note
        yield say(
            value=share,
            limit=limits["warn" if is_much else "note"],
            where=f"loader {entry['name']}, {entry['workers']} workers",
            evidence=f"{share:.0%} of {entry['seconds']:.0f} s were spent waiting for the loader",
        )


def _gauges(run: Recorded, wanted: re.Pattern[str]) -> Iterator[tuple[str, np.ndarray]]:
    table = run.run.gauges()
    names = table["name"].to_numpy(zero_copy_only=False)
    values = table["value"].to_numpy(zero_copy_only=False).astype(float)
    for name in dict.fromkeys(names):
        if wanted.search(str(name)):
            own = values[names == name]
            yield str(name), own[np.isfinite(own)]


@IDLE.on_run
def idle(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Each GPU."""
    found = [(name, values) for name, values in _gauges(run, _GPU) if len(values) >= 120]
    if not found:
        raise Cannot("not recorded: no GPU, or fewer than 120 samples of one")
    for name, values in found:
        high = float(np.percentile(values, 95))
        if high < limits["busy"]:
            yield IDLE.note(
                value=high,
                limit=limits["busy"],
                where=name,
                evidence=f"{name} was below {high:.0f} % in 95 % of {len(values)} samples",
            )


@MEMORY.on_run
def memory(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """The process's memory, and what torch holds on each GPU."""
    wanted = re.compile(r"memory\.rss_bytes$|gpu\.\d+\..*allocated")
    found = [(name, values) for name, values in _gauges(run, wanted) if len(values) >= 120]
    if not found:
        raise Cannot("not recorded: fewer than 120 samples of memory")
    for name, values in found:
        spans = np.array_split(values[len(values) // 4 :], 10)
        means = np.array([span.mean() for span in spans])
        growth = means[-1] / means[0] - 1 if means[0] else 0.0
        is_steady = (np.diff(means) > 0).mean() >= 0.9
        if is_steady and growth > limits["growth"] and means[-1] - means[0] > 64 << 20:
            yield MEMORY.warn(
                value=float(growth),
                limit=limits["growth"],
                where=name,
                evidence=f"{name} grew from {means[0] / 2**20:.0f} to {means[-1] / 2**20:.0f} MiB "
                "without a pause",
            )


@SLOWER.on_run
def slower(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """Steps a second, as sampled."""
    found = list(_gauges(run, re.compile(r"steps_per_second$")))
    long = [(name, values) for name, values in found if len(values) >= 240]
    if not long:
        raise Cannot("not recorded: fewer than 240 samples of steps a second")
    for name, values in long:
        quarter = len(values) // 4
        early, late = values[quarter : 2 * quarter], values[-quarter:]
        before, now = float(np.median(early)), float(np.median(late))
        if now < limits["share"] * before and before - now > 5 * mad(early):
            yield SLOWER.warn(
                value=now / before,
                limit=limits["share"],
                where=name,
                evidence=f"{before:.3g} steps a second became {now:.3g}",
            )


@STALLED.on_run
def stalled(run: Recorded, limits: Limits) -> Iterator[Finding]:
    """A run that goes on."""
    if run.run.state.name != "running":
        return
    table = run.run.table()
    if table.num_rows < 20:
        raise Cannot("not recorded: fewer than 20 values")
    times = np.unique(table["time"].to_numpy(zero_copy_only=False).astype("datetime64[ns]"))
    age = run.now_ns / 1e9 - times[-1].astype(np.int64) / 1e9
    interval = float(np.median(np.diff(times).astype(np.int64))) / 1e9 if len(times) > 1 else 0.0
    edge = max(limits["seconds"], 20 * interval)
    if age > edge:
        yield STALLED.warn(
            value=float(age),
            limit=edge,
            where=run.run.id,
            evidence=f"the last value was logged {age / 60:.0f} minutes ago; usually one comes "
            f"every {interval:.3g} s",
        )
