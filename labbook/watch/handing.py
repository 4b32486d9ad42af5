"""What has to be true before a job is given to a worker: it is claimed, and its checkpoint kept."""

from __future__ import annotations

from pathlib import Path

from labbook.watch import lease as leases
from labbook.watch import pin as pins
from labbook.watch.hold import Holder
from labbook.watch.jobs import Job
from labbook.watch.lease import Lease

__all__ = ["Done", "Held", "Unpinned", "Unready", "Unwritable", "prepare"]


class Held(Exception):
    """Another watcher has claimed it."""


class Done(Exception):
    """It has its result: somebody published between our look and our claim."""


class Unready(Exception):
    """It has to be copied first, which was begun."""


class Unwritable(Exception):
    """Claims cannot be written there."""


class Unpinned(Exception):
    """The checkpoint cannot be kept."""


def prepare(job: Job, holder: Holder) -> tuple[Lease, Path]:
    """Claim a job and pin its checkpoint; returns the claim and where the checkpoint is kept.

    Raises `Held`, `Done`, `Unready`, `Unwritable`, `Unpinned`, or `pin.Moved` when the checkpoint
    is not what it was; nothing is claimed then.
    """
    try:
        lease = leases.claim(job.paths.leases, job.key)
    except OSError as error:
        raise Unwritable(f"{job.paths.leases} cannot be written: {error}") from error
    if lease is None:
        raise Held
    if job.result.exists():
        lease.close()
        raise Done
    try:
        return lease, _pin(job, holder, job.paths.pins / lease.path.name)
    except (pins.Moved, Unready):
        lease.release()
        raise
    except OSError as error:
        lease.release()
        raise Unpinned(f"it cannot be pinned: {error}") from error


def _pin(job: Job, holder: Holder, folder: Path) -> Path:
    """Link it from what is held, else from its own name; what has to be copied is held first."""
    identity, source = job.whole.identity, job.found.path
    pins.unpin(folder)
    held = holder.path(job)
    if held is not None:
        try:
            return pins.link(held, identity, folder)
        except pins.NoLink:
            return pins.copy(held, identity, folder, lambda: None)
        except pins.Moved:
            # written in place through the link that holds it: nothing has what it was
            holder.release(job.paths, job.key)
            raise
    fault = holder.fault(job)
    if fault is not None:
        raise OSError(fault)
    if not (job.found.external and pins.is_reused_name(source.name)):
        try:
            return pins.link(source, identity, folder)
        except pins.NoLink:
            pass  # what follows copies it
    holder.ask(job, is_due=True)
    raise Unready
