"""What has to be true before a job is given to a worker: it is claimed, and its checkpoint kept."""

from __future__ import annotations

from pathlib import Path

from labbook.watch import lease as leases
from labbook.watch import pin as pins
from labbook.watch.jobs import Job
from labbook.watch.lease import Lease

__all__ = ["Done", "Held", "Unpinned", "Unwritable", "prepare"]


class Held(Exception):
    """Another watcher has claimed it."""


class Done(Exception):
    """It has its result: somebody published between our look and our claim."""


class Unwritable(Exception):
    """Claims cannot be written there."""


class Unpinned(Exception):
    """The checkpoint cannot be kept."""


def prepare(job: Job) -> tuple[Lease, Path]:
    """Claim a job and pin its checkpoint; returns the claim and where the checkpoint is kept.

    Raises `Held`, `Done`, `Unwritable`, `Unpinned`, or `pin.Moved` when the checkpoint is not what
    it was; nothing is claimed then.
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
    folder = job.paths.pins / lease.path.name
    is_reused = job.found.external and pins.is_reused_name(job.found.path.name)
    try:
        return lease, pins.pin(job.found.path, job.whole.identity, folder, copy=is_reused)
    except pins.Moved:
        lease.release()
        raise
    except OSError as error:
        lease.release()
        raise Unpinned(f"it cannot be pinned: {error}") from error
