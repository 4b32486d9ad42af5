"""The names of results: of what a run has, and of what is held of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labbook.watch import policy, reasons
from labbook.watch.codes import Code, Refusal
from labbook.watch.complete import Whole
from labbook.watch.discover import Scene
from labbook.watch.evaluation import Declaration
from labbook.watch.facts import arguments_digest
from labbook.watch.hold import Kept
from labbook.watch.jobs import Job
from labbook.watch.offers import Offer
from labbook.watch.policy import Ranked

__all__ = ["is_settled", "kept_jobs", "key_of", "keys_of"]


def key_of(scene: Scene, whole: Whole, declared: Declaration, code: str, subset: str) -> str:
    """The key of one result; `code` is the digest of the code it is made with."""
    arguments = arguments_digest(scene.facts.arguments)
    settings = declared.settings(subset)
    return policy.result_key(whole.digest, declared.name, code, arguments, settings)


def keys_of(scene: Scene, whole: Whole, offer: Offer) -> Iterator[tuple[str, str]]:
    """Name and key of every result there could be of a checkpoint."""
    for declared, code in offer.evaluations:
        for subset in ("full", "mini"):
            yield declared.name, key_of(scene, whole, declared, code, subset)


def kept_jobs(
    scene: Scene, kept: Iterable[Kept], offer: Offer | Refusal | None, code: Code | None
) -> Iterator[Job]:
    """Work on checkpoints whose name is gone, or has other content now; of this code alone."""
    offered = offer.evaluations if isinstance(offer, Offer) else ()
    for each in kept:
        for declared, digest in offered:
            is_asked = declared.name == each.evaluation
            if is_asked and key_of(scene, each.whole, declared, digest, each.subset) == each.key:
                ranked = Ranked(
                    scene.facts.id, each.position, each.subset, each.found.time_ns, declared.name
                )
                yield Job(
                    each.key, scene.facts, scene.paths, each.found, each.whole, declared, ranked,
                    code, digest,
                )  # fmt: skip


def is_settled(scene: Scene, kept: Kept) -> bool:
    """Whether a result, or a reason that stands, has made an end of it, by whichever watcher."""
    if scene.paths.result(kept.evaluation, kept.key).exists():
        return True
    standing = reasons.read(scene.paths.reasons, kept.key)
    return standing is not None and standing.get("state") in {"failed", "skipped"}
