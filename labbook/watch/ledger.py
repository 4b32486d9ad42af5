"""What is still to be done: every checkpoint has a result, or work pending, or a reason.

Nothing here is remembered across a restart but what lies in the book: results, reasons, digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labbook.paths import RunPaths
from labbook.watch import digests, policy, reasons
from labbook.watch.complete import Unfinished, Whole, examine
from labbook.watch.discover import Found, Scene
from labbook.watch.evaluation import Declaration
from labbook.watch.facts import RunFacts, arguments_digest
from labbook.watch.identity import Tick, identify
from labbook.watch.policy import Ranked
from labbook.watch.reasons import Reason

__all__ = ["Job", "Ledger", "State"]


@dataclass(frozen=True)
class Job:
    """One result to be made. `ranked` places it in the order of work."""

    key: str
    facts: RunFacts
    paths: RunPaths
    found: Found
    whole: Whole
    declared: Declaration
    ranked: Ranked

    @property
    def subset(self) -> str:
        """`full` or `mini`."""
        return self.ranked.subset

    @property
    def lane(self) -> str:
        """The evaluation as people read it."""
        return self.declared.name + (" (mini)" if self.subset == "mini" else "")

    @property
    def result(self) -> Path:
        """Where the result goes."""
        return self.paths.result(self.declared.name, self.key)

    def checkpoint(self) -> dict[str, Any]:
        """The checkpoint as results and reasons name it."""
        return describe(self.found, self.whole)

    def reason(self, text: str, state: str, attempts: int = 0, trace: str | None = None) -> Reason:
        """A reason about this work."""
        name = self.declared.name
        return Reason(self.checkpoint(), name, text, state, self.subset, attempts, trace)


def describe(found: Found, whole: Whole | None) -> dict[str, Any]:
    """A checkpoint as results and reasons name it."""
    return {
        "file": found.file,
        "digest": whole.digest if whole else None,
        "step": found.step,
        "size": whole.identity.size if whole else found.size,
        "external": found.external,
        "kind": whole.kind if whole else None,
        "completeness": whole.completeness if whole else None,
    }


@dataclass
class State:
    """What one look at the book found."""

    pending: list[Job] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    failed: set[tuple[str, str]] = field(default_factory=set)
    """(run, key) of what is damaged or was given up."""
    done: dict[str, set[int]] = field(default_factory=dict)
    """Positions with a result, by run."""

    def close(self, job: Job) -> None:
        """`job` has its result."""
        self.drop(job)
        self.done.setdefault(job.facts.id, set()).add(job.ranked.position)

    def drop(self, job: Job) -> None:
        """`job` is not pending any more."""
        same = (job.facts.id, job.key)  # a later look made another object of it
        self.pending = [other for other in self.pending if (other.facts.id, other.key) != same]


@dataclass
class Ledger:
    """Turns scenes into pending work, for one version of the user's code."""

    code: str
    declarations: list[Declaration]
    choice: str
    say: Callable[[str], None]
    tick: Tick
    is_once: bool = False
    retry_failed: bool = False
    files: frozenset[Path] | None = None
    _closed: dict[str, tuple[Scene, State]] = field(default_factory=dict)
    _whole: dict[Path, Whole] = field(default_factory=dict)
    _retried: set[str] = field(default_factory=set)
    _fine: set[Found] = field(default_factory=set)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def look(self, scenes: list[Scene], now_ns: int) -> State:
        """Everything that is pending, waiting or failed now. Reasons are written on the way."""
        state = State()
        for scene in scenes:
            run = scene.facts.id
            closed = self._closed.get(run)
            if closed is not None and closed[0] is scene:
                part = closed[1]
            else:
                part = self._look_at(scene, now_ns)
                if not part.pending and not part.waiting and not part.failed:
                    self._closed[run] = (scene, part)
            state.pending += part.pending
            state.waiting += part.waiting
            state.failed |= part.failed
            state.done.update(part.done)
        return state

    def give_up(self, job: Job) -> None:
        """`job` was tried in this process: its failure stands, even if old ones are retried."""
        self._retried.add(job.key)

    def _look_at(self, scene: Scene, now_ns: int) -> State:
        state = State(done={scene.facts.id: set()})
        owners: dict[str, Found] = {}
        total = len(scene.checkpoints)
        for position, found in enumerate(scene.checkpoints):
            if self.files is not None and found.path not in self.files:
                continue
            is_last = position == total - 1 and (scene.facts.is_over or self.is_once)
            left_out = policy.selected(self.choice, position, is_last)
            whole = self._examine(scene, found, now_ns, state, left_out)
            if whole is None:
                continue
            for declared in self.declarations:
                for subset in policy.lanes(declared, position, is_last):
                    ranked = Ranked(scene.facts.id, position, subset, found.time_ns, declared.name)
                    job = self._job(scene, found, whole, declared, ranked)
                    self._place(job, owners, state, left_out)
        return state

    def _job(
        self, scene: Scene, found: Found, whole: Whole, declared: Declaration, ranked: Ranked
    ) -> Job:
        key = policy.result_key(
            whole.digest,
            declared.name,
            self.code,
            arguments_digest(scene.facts.arguments),
            declared.settings(ranked.subset),
        )
        return Job(key, scene.facts, scene.paths, found, whole, declared, ranked)

    def _place(
        self, job: Job, owners: dict[str, Found], state: State, left_out: str | None
    ) -> None:
        """Put a job where it belongs: done, failed before, or pending."""
        owner = owners.setdefault(job.key, job.found)
        if owner is not job.found:
            text = f"same content as {owner.file}, whose result holds for both"
            # under a name of its own: the result's key is the owner's
            reasons.write(job.paths.reasons, _key_beside(job), job.reason(text, "skipped"))
            return
        if job.result.exists():
            state.done[job.facts.id].add(job.ranked.position)
            return
        if left_out is not None:
            reasons.write(job.paths.reasons, job.key, job.reason(left_out, "skipped"))
            return
        standing = reasons.read(job.paths.reasons, job.key)
        if standing is not None and not (self.retry_failed and job.key not in self._retried):
            if standing.get("state") == "failed":
                state.failed.add((job.facts.id, job.key))
                return
            by_policy = str(standing.get("reason")).startswith(policy.LEFT_OUT)
            if standing.get("state") == "skipped" and not by_policy:
                return
        state.pending.append(job)

    def _examine(
        self, scene: Scene, found: Found, now_ns: int, state: State, left_out: str | None
    ) -> Whole | None:
        """The checkpoint when it is whole; else the reason is written, and None."""
        folder, key = scene.paths.reasons, reasons.file_key(found)
        try:
            verdict = self._verdict(scene, found, now_ns)
        except FileNotFoundError:
            return self._gone(scene, found)
        except OSError as error:
            verdict = Unfinished(f"it cannot be read: {error}", is_waiting=False)
        if isinstance(verdict, Whole):
            if found not in self._fine:
                self._fine.add(found)
                reasons.remove(folder, key)
            return verdict
        name = f"{scene.facts.name} ({scene.facts.id}) {found.file}"
        if verdict.is_waiting:
            state.waiting.append(f"{name}: {verdict.text}")
        else:
            state.failed.add((scene.facts.id, key))
        kind = "waiting" if verdict.is_waiting else "incomplete"
        row = Reason(describe(found, None), None, verdict.text, kind)
        reasons.write(folder, key, row)
        told = (str(found.path), verdict.text)
        if not verdict.is_waiting and told not in self._told:
            self._told.add(told)
            self.say(
                f"{name}: not evaluated, incomplete: {verdict.text}. Save it again or remove "
                "it; it is evaluated as soon as it is whole"
            )
        return None

    def _verdict(self, scene: Scene, found: Found, now_ns: int) -> Whole | Unfinished:
        identity = identify(found.path)
        known = self._whole.get(found.path) or digests.recall(scene.paths, found, identity)
        sized = found.size is None or found.size == identity.size
        if known is not None and known.identity == identity and sized:
            self._whole[found.path] = known
            return known
        verdict = examine(found.path, found.size, now_ns, self.tick)
        if isinstance(verdict, Whole):
            self._whole[found.path] = verdict
            digests.remember(scene.paths, found, verdict, now_ns)
        return verdict

    def _gone(self, scene: Scene, found: Found) -> Whole | None:
        """A removed checkpoint needs a reason only where no result was made of it in time."""
        known = digests.recall(scene.paths, found, None)
        if known is not None and self._has_result(scene, found, known):
            return None
        row = Reason(describe(found, known), None, "gone before it could be evaluated", "skipped")
        reasons.write(scene.paths.reasons, reasons.file_key(found), row)
        return None

    def _has_result(self, scene: Scene, found: Found, whole: Whole) -> bool:
        lanes = [Ranked(scene.facts.id, 0, subset, 0) for subset in ("full", "mini")]
        return any(
            self._job(scene, found, whole, declared, lane).result.exists()
            for declared in self.declarations
            for lane in lanes
        )


def _key_beside(job: Job) -> str:
    return hashlib.sha256(f"{job.key}{job.found.file}".encode()).hexdigest()[:32]
