"""lm-evaluation-harness as an evaluation: its tasks, our weights, one row a document.

    from lm_eval.models.huggingface import HFLM
    language = labbook.evaluation.lm_eval(
        ["arc_easy", "hellaswag"], lambda args, device: HFLM(network(args), tokenizer=…), limit=200)

`build(args, device)` returns the harness's `LM`; the weights of each checkpoint are copied into its
`.model` (a `torch.nn.Module`; the `LM` itself where it is one). Further options go to
`lm_eval.simple_evaluate`: `num_fewshot`, `limit`, `batch_size`, `gen_kwargs`, `bootstrap_iters`, ….

Its cache of answers is keyed by the request alone and would give checkpoint B the answers of A
(EleutherAI/lm-evaluation-harness#2715): it is always off, and asking for it is an error.

Metrics and standard errors are the harness's own (they need not be means): `task.metric`, and
`task.metric.filter` where a filter other than `none` was used. Rows: `task`, `filter`, `doc_id`,
`doc_hash`, `prompt_hash`, and each metric with one number a document, null where the task has none.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import labbook
from labbook.errors import EvaluationError, MisuseError
from labbook.watch.context import Arguments, Context
from labbook.watch.told import Told

__all__ = ["harness"]

_OURS = {
    "model": "the model is what build() returns",
    "tasks": "they are the first argument",
    "use_cache": "its cache would give one checkpoint the answers of another",
    "log_samples": "the rows are made of them",
}
_WORDS = ("doc_hash", "prompt_hash")


def harness(
    tasks: str | Sequence[Any],
    build: Callable[[Arguments, Any], Any],
    seed: int,
    options: Mapping[str, Any],
) -> type:
    """Return the class; `labbook.evaluation.lm_eval` marks it."""
    named = [tasks] if isinstance(tasks, str) else list(tasks)
    if not named:
        raise MisuseError("lm_eval: name at least one task")
    for name, why in _OURS.items():
        if options.get(name) is not None:
            raise MisuseError(f"lm_eval: {name}= cannot be given: {why}")
    settings = {"random_seed": seed, **options}

    class Harness:
        def setup(self, context: Context) -> Any:
            self.lm = build(context.args, context.device)
            return _module(self.lm)

        def evaluate(self, context: Context) -> Told:
            simple_evaluate = _import().simple_evaluate
            found = simple_evaluate(
                model=self.lm, tasks=named, use_cache=None, log_samples=True, **settings
            )
            return _told(found)

    return Harness


def _import() -> Any:
    try:
        import lm_eval
    except ImportError as error:
        raise EvaluationError(
            f"lm_eval cannot be imported ({error}): pip install lm-eval"
        ) from error
    return lm_eval


def _module(lm: Any) -> Any:
    import torch

    if type(lm).__name__ == "CachingLM":
        raise EvaluationError(
            "lm_eval: build() returned a CachingLM, which gives one checkpoint the answers of "
            "another; return the LM inside it"
        )
    model = lm if isinstance(lm, torch.nn.Module) else getattr(lm, "model", None)
    if not isinstance(model, torch.nn.Module):
        raise EvaluationError(
            f"lm_eval: build() returned a {type(lm).__name__} without a torch.nn.Module under "
            "`.model`, so there is nothing to load weights into"
        )
    return model


def _told(found: Any) -> Told:
    if found is None:
        raise labbook.Skip("lm_eval returned nothing: this is not its first rank")
    metrics, errors = _metrics(found["results"])
    rows = _rows(found["samples"])
    expected = _check(rows, found.get("n-samples") or {})
    hashes = "".join(rows["doc_hash"])
    return Told(
        metrics=metrics,
        stderr=errors,
        rows={"example": list(range(len(rows["task"]))), **rows},
        n_expected=expected,
        data_digest=f"sha256:{hashlib.sha256(hashes.encode()).hexdigest()}",
        settings={
            "lm_eval": str(found.get("lm_eval_version") or "unknown"),
            "versions": {str(k): str(v) for k, v in (found.get("versions") or {}).items()},
            "n_shot": dict(found.get("n-shot") or {}),
        },
    )


def _metrics(results: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`acc,none` of task t as `t.acc`, its `acc_stderr,none` as the error of it."""
    metrics: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for task, values in results.items():
        for key, value in values.items():
            metric, comma, kind = key.partition(",")
            if not comma or isinstance(value, bool) or not isinstance(value, int | float | str):
                continue
            is_error = metric.endswith("_stderr")
            name = f"{task}.{metric.removesuffix('_stderr')}" + (
                "" if kind == "none" else f".{kind}"
            )
            # an error that it did not compute is the text "N/A"
            number = float(value) if isinstance(value, int | float) else None
            if not is_error:
                metrics[name] = number
            elif number is not None:
                errors[name] = number
    return metrics, errors


def _rows(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Any]]:
    """Columns over all documents, in the order of task, filter and document."""
    found = sorted(
        ((str(task), str(s.get("filter", "none")), int(s["doc_id"]), s)
         for task, each in samples.items() for s in each),
        key=lambda entry: entry[:3],
    )  # fmt: skip
    if not found:
        raise EvaluationError("lm_eval returned no samples: not one document was evaluated")
    columns: dict[str, list[Any]] = {
        "task": [task for task, _, _, _ in found],
        "filter": [kind for _, kind, _, _ in found],
        "doc_id": [doc for _, _, doc, _ in found],
    }
    for word in _WORDS:
        columns[word] = [str(sample.get(word) or "") for *_, sample in found]
    names = {name for *_, sample in found for name in sample.get("metrics") or ()}
    for name in sorted(names - columns.keys()):
        values = [sample.get(name) for *_, sample in found]
        # what is no number a document (perplexities are pairs) is in the metrics only
        if all(value is None or isinstance(value, int | float) for value in values):
            columns[name] = [None if value is None else float(value) for value in values]
    return columns


def _check(rows: Mapping[str, list[Any]], counts: Mapping[str, Mapping[str, int]]) -> int | None:
    """The rows there must be; raises `EvaluationError` unless each is there exactly once."""
    places = Counter(zip(rows["task"], rows["filter"], rows["doc_id"], strict=True))
    for (task, _, document), count in places.items():
        if count > 1:
            raise EvaluationError(f"lm_eval: document {document} of {task} came more than once")
    expected = 0
    for (task, _), n_found in Counter(place[:2] for place in places).items():
        effective = (counts.get(task) or {}).get("effective")
        if effective is None:
            return None
        if effective != n_found:
            raise EvaluationError(
                f"lm_eval: {effective} documents of {task} expected, {n_found} came. "
                "Nothing was published"
            )
        expected += effective
    return expected
