"""Early stopping on an offline metric: what the watcher's results say, asked in the training loop.

Nobody signals the training and it waits for nobody. The results in the run's own folder are the
only truth: the thread that samples the gauges looks for new ones once a second, and `run.advice()`
returns what was known then. Without a watcher there are no results, and the advice is to go on.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from typing import Any, Final

from labbook.client.footers import read_footer
from labbook.client.recorder import Recorder
from labbook.direction import Mode, mode_of
from labbook.errors import MisuseError
from labbook.paths import FORMAT, RunPaths

__all__ = ["Advice", "Adviser", "Question", "check"]

_OPTIONS: Final = ("evaluation", "mode", "patience", "min_delta", "subset")
_RACY_NS: Final = 2_000_000_000  # a folder changed this recently may change again in the same tick


@dataclass(frozen=True, slots=True)
class Advice:
    """What the results so far say about going on.

    `best` is the metric's best value and `best_step` its step, None while there is none;
    `n_since` counts the later checkpoints that were not better, `n_results` all that count.
    """

    stop: bool
    reason: str
    best: float | None = None
    best_step: int | None = None
    last_step: int | None = None
    n_since: int = 0
    n_results: int = 0

    def __bool__(self) -> bool:
        """Whether to stop: `if run.advice(): break`."""
        return self.stop


@dataclass(frozen=True, slots=True)
class Question:
    """What the training asks; see `Run.advice`."""

    metric: str
    evaluation: str | None
    mode: Mode
    patience: int
    min_delta: float
    subset: str | None


@dataclass(frozen=True, slots=True)
class _Score:
    """As much of a result as an answer needs."""

    evaluation: str
    subset: str
    step: int
    digest: str
    data: str | None
    ended_ns: int
    metrics: dict[str, float]


def check(
    metric: Any,
    *,
    evaluation: Any = None,
    mode: str = "auto",
    patience: Any = 5,
    min_delta: Any = 0.0,
    subset: Any = None,
) -> Question:
    """The question, once it is known to be one; raises `MisuseError`."""
    if not isinstance(metric, str) or not metric:
        raise MisuseError(f"advice(metric): the name of a metric, got {metric!r}")
    if type(patience) is not int or patience < 1:
        raise MisuseError(f"advice(patience=) must be a whole number from 1, got {patience!r}")
    if not isinstance(min_delta, int | float) or not 0 <= min_delta < math.inf:
        raise MisuseError(f"advice(min_delta=) must be a number from 0, got {min_delta!r}")
    if subset not in {None, "full", "mini"}:
        raise MisuseError(f"advice(subset=) must be 'full' or 'mini', got {subset!r}")
    if evaluation is not None and not isinstance(evaluation, str):
        raise MisuseError(f"advice(evaluation=): the name of an evaluation, got {evaluation!r}")
    asked = mode_of(metric, mode)
    return Question(metric, evaluation, asked, patience, float(min_delta), subset)


class Adviser:
    """Keeps an answer to each question that was asked; `tick` renews them, on another thread."""

    def __init__(self, paths: RunPaths, recorder: Recorder) -> None:
        self._folder = str(paths.evaluations)
        self._recorder = recorder
        self._answers: dict[Question, Advice] = {}
        self._asked: dict[tuple[Any, ...], Question] = {}
        self._scores: dict[str, _Score | None] = {}
        self._stamps: dict[str, int] = {}

    def ask(self, *asked: Any) -> Advice:
        """The answer of the last look to a metric with `_OPTIONS`, all of them in order.

        Only the first time it is checked, and put down for the next look.
        """
        try:
            return self._answers[self._asked[asked]]
        except (KeyError, TypeError):  # new, or something that cannot even be a key
            question = check(asked[0], **dict(zip(_OPTIONS, asked[1:], strict=True)))
            self._asked[asked] = question
            return self._answers.setdefault(question, Advice(False, "not looked yet"))

    def tick(self) -> None:
        """Look for new results, and answer again where there are some."""
        is_news = self._look()
        for question, answer in list(self._answers.items()):
            if is_news or answer.reason == "not looked yet":
                self._answers[question] = _answer(question, [s for s in self._scores.values() if s])

    def _look(self) -> bool:
        before = len(self._scores)
        for evaluation in _entries(self._folder):
            folder = os.path.join(self._folder, evaluation)
            try:
                stamp = os.stat(folder).st_mtime_ns
            except OSError:
                continue  # removed since the listing
            if stamp == self._stamps.get(folder):
                continue
            # what changes within one tick of the clock is seen at the next look
            is_settled = time.time_ns() - stamp > _RACY_NS
            for name in _entries(folder):
                path = os.path.join(folder, name)
                if name.endswith(".parquet") and name[0] != "." and path not in self._scores:
                    is_settled = self._read(evaluation, path) and is_settled
            self._stamps[folder] = stamp if is_settled else 0
        return len(self._scores) != before

    def _read(self, evaluation: str, path: str) -> bool:
        """Read one; False when it is to be tried again."""
        try:
            self._scores[path] = _score(evaluation, read_footer(path))
        except FileNotFoundError:
            pass  # removed since the listing
        except OSError as error:
            self._recorder.fault("advice", f"a result cannot be read: {error}")
            return False
        return True


def _score(evaluation: str, found: dict[str, Any] | None) -> _Score | None:
    """None for what is no result with a step, or of a format that is not known."""
    if found is None or found.get("format") != FORMAT:
        return None
    checkpoint, metrics = found.get("checkpoint"), found.get("metrics")
    if not isinstance(checkpoint, dict) or not isinstance(metrics, dict):
        return None
    step, data, ended = checkpoint.get("step"), found.get("data_digest"), found.get("ended_ns")
    if type(step) is not int:
        return None
    return _Score(
        evaluation,
        str(found.get("subset") or "full"),
        step,
        str(checkpoint.get("digest")),
        data if isinstance(data, str) else None,
        ended if type(ended) is int else 0,
        {n: math.nan if v is None else float(v) for n, v in metrics.items() if _is_number(v)},
    )


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _answer(question: Question, scores: list[_Score]) -> Advice:
    found = [score for score in scores if question.metric in score.metrics]
    if question.evaluation is not None:
        found = [score for score in found if score.evaluation == question.evaluation]
    names = sorted({score.evaluation for score in found})
    if len(names) > 1:
        several = ", ".join(names)
        return Advice(False, f"several evaluations have {question.metric!r}: {several}; name one")
    if not found:
        return Advice(False, f"no result has {question.metric!r} yet")
    subset = question.subset or ("mini" if any(s.subset == "mini" for s in found) else "full")
    found = [score for score in found if score.subset == subset]
    if not found:
        return Advice(False, f"no result on the {subset} set yet")
    return _judge(question, _comparable(found))


def _comparable(scores: list[_Score]) -> list[_Score]:
    """Those over the data of the newest, one a checkpoint, by step."""
    scores = sorted(scores, key=lambda score: score.ended_ns)
    data = scores[-1].data
    newest = {score.digest: score for score in scores if score.data == data}
    return sorted(newest.values(), key=lambda score: (score.step, score.ended_ns))


def _judge(question: Question, scores: list[_Score]) -> Advice:
    """Patience: how many checkpoints in a row, by step, were not better than the best."""
    sign = 1.0 if question.mode == "max" else -1.0
    best: float | None = None
    best_step = None
    n_since = 0
    for score in scores:
        value = score.metrics[question.metric]
        # of equal ones the earliest is the best; what is not finite is never better
        gain = math.inf if best is None else sign * (value - best)
        if math.isfinite(value) and gain > question.min_delta:
            best, best_step, n_since = value, score.step, 0
        else:
            n_since += 1
    stop = n_since >= question.patience
    at = "none was finite" if best is None else f"best {best:.4g} at step {best_step}"
    reason = (
        f"{question.metric}: {at}, {n_since} checkpoint{'' if n_since == 1 else 's'} since not "
        f"better (patience {question.patience})"
    )
    return Advice(stop, reason, best, best_step, scores[-1].step, n_since, len(scores))


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # nothing was evaluated yet
