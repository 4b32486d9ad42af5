"""What a series' name says: a loss? validation? is less better? which belong together?"""

from __future__ import annotations

import re
from collections.abc import Iterable

from labbook.direction import direction

__all__ = [
    "group",
    "is_loss",
    "is_progress",
    "is_setting",
    "lower_is_better",
    "matching",
    "ordered",
    "split",
]

_VALIDATION = re.compile(r"^(val|valid|validation|test|eval|dev|heldout)$")
_TRAIN = re.compile(r"^(train|training)$")
_SETTING = re.compile(
    r"^(lr|learning_rate|epoch|step|time|seconds|samples|tokens|momentum|beta\d?|wd)$"
)


_PROGRESS = re.compile(r"^(epochs?|samples|samples_seen|tokens|tokens_seen|examples|iterations?)$")


def split(name: str) -> tuple[str, str]:
    """The part a series was measured on and its metric: `val/loss` is `("val", "loss")`."""
    words = re.split(r"[/.:]", name)
    if len(words) == 1:
        head, _, tail = name.partition("_")
        if tail and (_VALIDATION.match(head.lower()) or _TRAIN.match(head.lower())):
            return head, tail
        return "", name
    return "/".join(words[:-1]), words[-1]


def is_validation(name: str) -> bool:
    """Whether it was measured on held-out data, by its name."""
    return any(_VALIDATION.match(word.lower()) for word in re.split(r"[/.:_]", name))


def is_setting(name: str) -> bool:
    """Whether the program sets it (learning rate, epoch): there is no noise in it to smooth."""
    return bool(_SETTING.match(split(name)[1].lower()))


def is_progress(name: str) -> bool:
    """Whether it counts what the training has seen, by its name: others can be drawn over it."""
    return bool(_PROGRESS.match(split(name)[1].lower()))


def matching(names: Iterable[str], text: str) -> list[str]:
    """Names that hold every word of the text; none of those with a `-` before them."""
    words = [word for word in text.lower().split() if word != "-"]
    return [
        name
        for name in names
        if all(
            (word[1:] not in name.lower()) if word[0] == "-" else (word in name.lower())
            for word in words
        )
    ]


def is_loss(name: str) -> bool:
    """Whether it is what the training makes small, by its name."""
    return bool(re.search(r"loss|nll", split(name)[1].lower()))


def lower_is_better(name: str) -> bool | None:
    """Whether smaller values are better, by the one rule (`labbook.direction`); None: unsaid."""
    way = direction(name)
    return None if way is None else way == "min"


def _rank(name: str) -> tuple[int, int, int]:
    metric = split(name)[1].lower()
    kind = 0 if is_loss(name) else 1 if lower_is_better(name) is not None else 2
    if is_setting(name):
        kind = 4
    elif re.search(r"time|seconds|per_second|throughput|grad|norm", metric):
        kind = 3
    return kind, 0 if is_validation(name) else 1, len(re.split(r"[/.:]", name))


def ordered(names: Iterable[str]) -> list[str]:
    """Names with the telling ones first: losses, then metrics, the rest, timings, settings."""
    return sorted(names, key=lambda name: (*_rank(name), name))


def group(names: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Charts: (title, series). The same metric of train and val shares one; order as `ordered`."""
    charts: dict[tuple[str, bool], list[str]] = {}
    for name in ordered(names):
        part, metric = split(name)
        last = part.rsplit("/", 1)[-1].lower()
        paired = not part or bool(_TRAIN.match(last)) or bool(_VALIDATION.match(last))
        key = (metric, True) if paired else (name, False)
        charts.setdefault(key, []).append(name)
    return [(key[0], sorted(found, key=is_validation)) for key, found in charts.items()]
