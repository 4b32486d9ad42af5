"""What to do about an event, a fault or a remark of a run; "" where nothing has to be done."""

from __future__ import annotations

import re

from labbook.book.text import clean
from labbook_tui.models import EventRow
from labbook_tui.read.checks import KINDS

__all__ = ["advice_on"]

_JOURNAL = "these values are lost, the training went on: free the disk or the quota of the book"

_BY_KIND = {
    "damage": "labbook doctor names every damaged file, and repairs what can be repaired",
    "incomplete": "some examples are missing: run labbook evaluate on the checkpoint again",
    "nonfinite": "look at loss and gradient norms before this step; a smaller learning rate,"
    " gradient clipping or float32 often helps",
    "failed": "the traceback is below, and what the program wrote on page 7",
    "killed": "often out of memory, or a job's time limit: see the gauges on page 5, and dmesg",
    "terminated": "told to end from outside: a job's limit, or a signal; a checkpoint resumes it",
    "interrupted": "ended by Ctrl-C; a checkpoint resumes it",
    "observe-skipped": "choose(batch_size=), choose(every=) or choose(keep=) make it cheaper",
    "choose-slow": "choose(every=) observes less often, choose(n=) fewer examples",
    "follow-sharded": "log the norms yourself where all ranks meet: run.log(...)",
    "activations-not-seen": "give follow() what torch.compile returned, or compile its parts",
    "steps-not-seen": "step the net with a torch optimizer, and compile the step's parts only",
    "parameters-without-optimizer": "give them to an optimizer, or freeze them on purpose",
}
_BY_FAULT = {
    "dropped": _JOURNAL,
    "ENOSPC": _JOURNAL,
    "EDQUOT": _JOURNAL,
    "no-segment": "the journal cannot be written: see the rights and the room of the book's folder",
    "segment-removed": "another program removed a journal: keep cleaners away from the book",
    "heartbeat": "the run may read as killed although it lives: see the book's file system",
    "clock-set-back": "times before and after do not compare; steps do. Synchronise the clock",
    "seal": "labbook seal does it now; until then the journal is read as it is",
    "sidecar": "the checkpoint is saved; save it again, or under another name, to have it listed",
    "meta": "see the rights and the room of the book's folder",
    "end": "how the run ended was not written: it reads as killed",
    "output": "what the program printed is not kept: start(output=False) says so on purpose",
    "advice": "labbook doctor names the result that cannot be read",
    "watch": "see the rights of the folder that the pattern names",
    "register": "see that the file is there and can be read",
}
_BY_TEXT = (
    (r"of \d+ different data sets", "evaluate all checkpoints over one data set, then compare"),
    (r"not comparable", "evaluate them again with one code: labbook evaluate FILE"),
    (r"another environment", "evaluate in the run's own packages to be sure: labbook restore"),
    (r"not part of the run's code", "put these files under the project's folder and commit them"),
    (r"not there when it was evaluated", "bring the files back, then labbook evaluate FILE"),
    (r"evaluated with the current code", "commit before a run starts, so its own code can be had"),
    (r"of the current code, the others", "labbook evaluate --code run FILE makes them alike"),
)


def advice_on(row: EventRow) -> str:
    """One sentence, without a full stop. A text that says itself what to do has none of ours."""
    if row.kind in {"finding", *KINDS}:
        fix = row.fields.get("fix")
        return clean(fix) if isinstance(fix, str) else ""
    if row.kind == "dirty":
        return "labbook restore RUN writes the code as it ran; commit before the next run"
    if row.kind == "fault":
        return _BY_FAULT.get(row.text.partition(":")[0], "")
    if row.kind in {"remark", "warning", "check"}:
        return next((said for found, said in _BY_TEXT if re.search(found, row.text)), "")
    return _BY_KIND.get(row.kind, "")
