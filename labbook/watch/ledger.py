"""What is still to be done: every checkpoint has a result, or work pending, or a reason.

Nothing here is remembered across a restart but what lies in the book: results, reasons, digests.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from labbook.watch import digests, policy, reasons
from labbook.watch.codes import Code, Refusal
from labbook.watch.complete import Unfinished, Whole, examine
from labbook.watch.discover import Found, Scene
from labbook.watch.evaluation import Declaration
from labbook.watch.hold import Holder, Kept, kept_in
from labbook.watch.identity import Tick, identify
from labbook.watch.jobs import Ask, Job, Left, State, describe, lane_of
from labbook.watch.keys import is_settled, kept_jobs, key_of, keys_of
from labbook.watch.minibest import MiniBests
from labbook.watch.offers import Offer, Offers
from labbook.watch.policy import Ranked
from labbook.watch.reasons import Reason

__all__ = ["Ask", "Job", "Ledger", "Left", "State"]

_Offered = Offer | Refusal | None
_DAY_NS = 86_400 * 10**9


@dataclass
class Ledger:
    """Turns scenes into pending work.

    `code` and `declarations` hold for every run, unless `offers` knows those of each run's code.
    With `is_dry` nothing is written, and what is left out is listed.
    """

    code: str
    declarations: list[Declaration]
    choice: str
    say: Callable[[str], None]
    tick: Tick
    is_once: bool = False
    retry_failed: bool = False
    files: frozenset[Path] | None = None
    offers: Offers | None = None
    is_dry: bool = False
    holder: Holder | None = None
    _closed: dict[str, tuple[Scene, _Offered, State]] = field(default_factory=dict)
    _whole: dict[Path, Whole] = field(default_factory=dict)
    _retried: set[str] = field(default_factory=set)
    _fine: set[Found] = field(default_factory=set)
    _unrefused: set[Found] = field(default_factory=set)
    _told: set[tuple[str, str]] = field(default_factory=set)
    _bests: MiniBests = field(default_factory=MiniBests)
    _fixed: Offer | None = None

    def look(self, scenes: list[Scene], now_ns: int) -> State:
        """Everything that is pending, waiting or failed now. Reasons are written on the way."""
        state = State()
        for scene in scenes:
            run = scene.facts.id
            code, offer = self._offer(scene)
            closed = self._closed.get(run)
            if closed is not None and closed[0] is scene and closed[1] is offer:
                part = closed[2]
            else:
                part = self._look_at(scene, code, offer, now_ns)
                # what was refused stays so until the offer, or the run, changes
                if part.is_over and (not part.failed or isinstance(offer, Refusal)):
                    self._closed[run] = (scene, offer, part)
                    self._let_go(scene)
            state.add(part)
        return state

    def give_up(self, job: Job) -> None:
        """`job` was tried in this process: its failure stands, even if old ones are retried."""
        self._retried.add(job.key)

    def forget(self) -> None:
        """Look at every run anew."""
        self._closed.clear()

    def _let_go(self, scene: Scene) -> None:
        """Of a run that is over and done nothing is looked at again: thousands may be."""
        for found in scene.checkpoints if scene.facts.is_over else ():
            self._whole.pop(found.path, None)

    def _offer(self, scene: Scene) -> tuple[Code | None, _Offered]:
        """The code of a run, and what it offers; null: not known yet."""
        if self.offers is None:
            if self._fixed is None:
                self._fixed = Offer(tuple((each, self.code) for each in self.declarations))
            return None, self._fixed
        code = self.offers.code(scene.facts, scene.paths)
        return (None, code) if isinstance(code, Refusal) else (code, self.offers.of(code))

    def _look_at(self, scene: Scene, code: Code | None, offer: _Offered, now_ns: int) -> State:
        state = State(done={scene.facts.id: set()})
        owners: dict[str, Found] = {}
        minis: dict[str, list[tuple[Job, str, bool]]] = {}
        ask = None if offer is not None or code is None else self._ask(scene, code, now_ns)
        if ask is not None:
            state.asks.append(ask)
            return state
        kept = kept_in(scene.paths)
        names = {each.found.file for each in kept}
        total = len(scene.checkpoints)
        for position, found in enumerate(scene.checkpoints):
            if self.files is not None and found.path not in self.files:
                continue
            if found.file in names and not os.path.lexists(found.path):
                continue  # it waits below, as what is held of it
            whole = self._examine(scene, found, now_ns, state, offer)
            if whole is None:
                continue
            if isinstance(offer, Refusal):
                self._refuse(scene, found, whole, offer, state)
                continue
            is_last = position == total - 1 and (scene.facts.is_over or self.is_once)
            left_out = policy.selected(self.choice, position, is_last)
            for declared, digest in offer.evaluations if offer is not None else ():
                lanes = policy.lanes(declared, position, is_last)
                for subset in lanes:
                    ranked = Ranked(scene.facts.id, position, subset, found.time_ns, declared.name)
                    key = key_of(scene, whole, declared, digest, subset)
                    job = Job(
                        key, scene.facts, scene.paths, found, whole, declared, ranked, code, digest
                    )
                    self._place(job, owners, state, left_out)
                    if subset == "mini":
                        minis.setdefault(declared.name, []).append((job, digest, "full" in lanes))
        waiting = [each for each in kept if each.key not in owners]
        for job in kept_jobs(scene, waiting, offer, code):
            if self.files is None or job.found.path in self.files:
                self._place(job, owners, state, None)
                if job.subset == "mini":
                    minis.setdefault(job.declared.name, []).append((job, job.digest or "", False))
        bests = [self._place_best(scene, jobs, owners, state) for jobs in minis.values()]
        self._hold(scene, kept, dict(filter(None, bests)), state)
        return state

    def _hold(self, scene: Scene, kept: list[Kept], bests: dict[str, str], state: State) -> None:
        """Hold what waits for its turn in a run that goes on; let go what is settled.

        `bests` has the key of the full result by that of the mini one that earned it: the next
        ones are compared with it, so it is held until the run is over.
        """
        if self.holder is None:
            return
        waiting = {job.key for job in state.pending}
        for job in state.pending:
            if not scene.facts.is_over or any(each.key == job.key for each in kept):
                self.holder.ask(job)
        for each in kept:
            is_best = each.key in bests and (not scene.facts.is_over or bests[each.key] in waiting)
            if each.key not in waiting and not is_best and is_settled(scene, each):
                self.holder.release(scene.paths, each.key)

    def _place_best(
        self,
        scene: Scene,
        minis: list[tuple[Job, str, bool]],
        owners: dict[str, Found],
        state: State,
    ) -> tuple[str, str] | None:
        """The best on the mini set so far is evaluated on the whole set too; keys of both."""
        place = self._bests.best([job.result for job, _, _ in minis])
        if place is None:
            return None
        job, digest, is_full = minis[place]
        key = key_of(scene, job.whole, job.declared, digest, "full")
        if not is_full:
            ranked = replace(job.ranked, subset="full")
            self._place(replace(job, key=key, ranked=ranked), owners, state, None)
        return job.key, key

    def _ask(self, scene: Scene, code: Code, now_ns: int) -> Ask | None:
        """Ask for a code, where there is something to evaluate in it, or soon may be."""
        chosen = [
            found for found in scene.checkpoints if self.files is None or found.path in self.files
        ]
        is_there = any(os.path.lexists(found.path) for found in chosen)
        if not is_there and not self._is_coming(scene, now_ns):
            return None
        newest = max((found.time_ns for found in chosen), default=0)
        return Ask(code, Ranked(scene.facts.id, len(scene.checkpoints), "full", newest))

    def _is_coming(self, scene: Scene, now_ns: int) -> bool:
        """Whether a first checkpoint may come any moment: a worker is then made ready for it."""
        is_live = not scene.facts.is_over and now_ns - scene.facts.created_ns < _DAY_NS
        return is_live and not (scene.checkpoints or self.is_once or self.files)

    def _place(
        self, job: Job, owners: dict[str, Found], state: State, left_out: str | None
    ) -> None:
        """Put a job where it belongs: done, failed before, or pending."""
        self._clear_refusal(job)
        owner = owners.setdefault(job.key, job.found)
        if owner is not job.found:
            text = f"same content as {owner.file}, whose result holds for both"
            # under a name of its own: the result's key is the owner's
            self._record(job, _key_beside(job), job.reason(text, "skipped"), state)
            return
        if job.result.exists():
            state.done[job.facts.id].add(job.ranked.position)
            self._leave(job, "has its result", state)
            return
        if left_out is not None:
            self._record(job, job.key, job.reason(left_out, "skipped"), state)
            return
        standing = reasons.read(job.paths.reasons, job.key)
        if standing is not None and not (self.retry_failed and job.key not in self._retried):
            if standing.get("state") == "failed":
                state.failed.add((job.facts.id, job.key))
                self._leave(job, f"failed: {standing.get('reason')}", state)
                return
            by_policy = str(standing.get("reason")).startswith(policy.LEFT_OUT)
            if standing.get("state") == "skipped" and not by_policy:
                self._leave(job, f"skipped: {standing.get('reason')}", state)
                return
        state.pending.append(job)

    def _record(self, job: Job, key: str, row: Reason, state: State) -> None:
        self._leave(job, f"{row.state}: {row.text}", state)
        if not self.is_dry:
            reasons.write(job.paths.reasons, key, row)

    def _leave(self, job: Job, text: str, state: State) -> None:
        if self.is_dry:
            state.left.append(Left(job.facts.id, job.found.file, job.lane, text))

    def _write(self, scene: Scene, found: Found, key: str, row: Reason, state: State) -> None:
        """Put a reason on record that holds for all evaluations."""
        if self.is_dry:
            text = f"{row.state}: {row.text}"
            state.left.append(Left(scene.facts.id, found.file, lane_of("", row.subset), text))
        else:
            reasons.write(scene.paths.reasons, key, row)

    def _refuse(
        self, scene: Scene, found: Found, whole: Whole, refusal: Refusal, state: State
    ) -> None:
        """Nothing can be evaluated in the run's code: that is the reason for each checkpoint."""
        key = _refusal_key(found)
        self._unrefused.discard(found)
        self._write(
            scene, found, key, Reason(describe(found, whole), None, refusal.text, "failed"), state
        )
        state.failed.add((scene.facts.id, key))
        told = (scene.facts.id, refusal.text)
        if told not in self._told:
            self._told.add(told)
            self.say(f"{scene.facts.name} ({scene.facts.id}): not evaluated: {refusal.text}")

    def _clear_refusal(self, job: Job) -> None:
        if job.found not in self._unrefused and not self.is_dry:
            self._unrefused.add(job.found)
            reasons.remove(job.paths.reasons, _refusal_key(job.found))

    def _examine(
        self, scene: Scene, found: Found, now_ns: int, state: State, offer: _Offered
    ) -> Whole | None:
        """The checkpoint when it is whole; else the reason is written, and None."""
        key = reasons.file_key(found)
        try:
            verdict = self._verdict(scene, found, now_ns)
        except FileNotFoundError:
            return self._gone(scene, found, state, offer)
        except OSError as error:
            verdict = Unfinished(f"it cannot be read: {error}", is_waiting=False)
        if isinstance(verdict, Whole):
            if found not in self._fine and not self.is_dry:
                self._fine.add(found)
                reasons.remove(scene.paths.reasons, key)
            return verdict
        name = f"{scene.facts.name} ({scene.facts.id}) {found.file}"
        if verdict.is_waiting:
            state.waiting.append(f"{name}: {verdict.text}")
        else:
            state.failed.add((scene.facts.id, key))
        kind = "waiting" if verdict.is_waiting else "incomplete"
        row = Reason(describe(found, None), None, verdict.text, kind)
        self._write(scene, found, key, row, state)
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
            if not self.is_dry:
                digests.remember(scene.paths, found, verdict, now_ns)
        return verdict

    def _gone(self, scene: Scene, found: Found, state: State, offer: _Offered) -> Whole | None:
        """A removed checkpoint needs a reason only where no result was made of it in time."""
        known = digests.recall(scene.paths, found, None)
        if known is not None and isinstance(offer, Offer):
            for name, key in keys_of(scene, known, offer):
                if scene.paths.result(name, key).exists() or reasons.read(scene.paths.reasons, key):
                    return None
        if offer is None and scene.paths.evaluations.exists():
            return None  # one of them may be of it
        row = Reason(describe(found, known), None, "gone before it could be evaluated", "skipped")
        self._write(scene, found, reasons.file_key(found), row, state)
        return None


def _refusal_key(found: Found) -> str:
    """The name of a reason that is about the code."""
    return f"code-{hashlib.sha256(found.file.encode()).hexdigest()[:24]}"


def _key_beside(job: Job) -> str:
    return hashlib.sha256(f"{job.key}{job.found.file}".encode()).hexdigest()[:32]
