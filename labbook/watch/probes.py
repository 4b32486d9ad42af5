"""Looks for the usual mistakes of an evaluation, on the side, and names each.

Run on a run's first checkpoint and on every k-th after it, when the rows are collected already:
nothing here changes a result. The first batch is evaluated about four times more; buffers, eval
mode and the context are as before afterwards. What is looked for:

training     a module in training mode: a forgotten eval(), so dropout drops and BatchNorm takes
             the batch's own statistics
random       rows that change with the random numbers: F.dropout, which drops unless it is told
             `training=self.training`, or sampling
rng          random numbers are drawn, though no row depends on them
random-data  data() gives other examples each time: a random transform
batch        rows that change with what else is in the batch: statistics of the batch, padding
             that is not masked, a mean over the batch
order        rows that change with an example's place in the batch
repeat       the same batch with the same seed gives other rows: something is carried over
state        weights or buffers that changed while they were evaluated
data         the data changed since they were read: step() writes into its batch, or a new file
ema          raw weights where the checkpoint has averaged ones, or averages that never move
stale        rows equal to another checkpoint's, whose weights differ: answers from a cache
drift        an old result made again by a new worker has other rows: see `labbook.watch.canary`

What a mistake causes is not reported beside it. "Change" is measured by `labbook.watch.closeness`
with the tolerance of `labbook.watch.precision`. Kinds in `allow=` are meant, and left out.
"""

from __future__ import annotations

import time

import torch

from labbook.watch.findings import Report, some
from labbook.watch.fingerprints import changed
from labbook.watch.measured import Outcome
from labbook.watch.precision import tolerance
from labbook.watch.session import Session, Work
from labbook.watch.side import Side
from labbook.watch.training import training

__all__ = ["probe"]

_KEPT_BYTES = 1 << 30  # buffers larger than this together are not copied, and not put back


def probe(session: Session, work: Work, outcome: Outcome) -> Report:
    """Look at what was just evaluated; raises nothing of the user's."""
    began = time.monotonic()
    report = Report(tolerance(session.precision))
    training(session, session.seen, report)
    _state(session, report)
    buffers = _buffers(session)
    if session.has_own_loop:
        for kind in ("random", "batch", "order", "repeat", "rng"):
            report.not_run[kind] = "the evaluation has a loop of its own"
    else:
        Side(session, work, outcome, report).run()
    _put_back(buffers)
    session.to_eval()
    _data(session, report)
    if not session.has("load"):
        weights = session.declared.weights
        session.averages.look(session.context.run, work.path, work.kind, weights, report)
    report.findings = [f for f in report.findings if f.kind not in session.declared.allow]
    report.seconds = time.monotonic() - began
    return report


def _state(session: Session, report: Report) -> None:
    model, after = session.context.model, session.prints()
    # buffers that are never saved are a module's own caches
    kept = model.state_dict().keys() if isinstance(model, torch.nn.Module) else after.keys()
    names = [n for n in changed(session.loaded, after) if n in kept and n in session.loaded]
    if not names or report.has("training"):
        return
    report.add(
        "state",
        f"changed while evaluated: {some(names)}. An evaluation must leave weights and buffers "
        "as the checkpoint has them",
        names[0],
    )


def _data(session: Session, report: Report) -> None:
    if session.examples is None or report.has("random-data"):
        return
    session.seed()
    if session.examples.fingerprint() != session.data_digest:
        report.add(
            "data",
            "the data are not what they were when this worker read them: step() writes into its "
            "batch (x.div_(255) changes the dataset), or a file changed meanwhile",
        )


def _buffers(session: Session) -> list[tuple[torch.Tensor, torch.Tensor]]:
    held = [buffer for model in session.modules.values() for buffer in model.buffers()]
    if sum(buffer.numel() * buffer.element_size() for buffer in held) > _KEPT_BYTES:
        return []
    return [(buffer, buffer.detach().clone()) for buffer in held]


def _put_back(buffers: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.data.copy_(before)
