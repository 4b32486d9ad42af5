"""A run, as the training script holds it.

Invariant: once it exists, no fault of storage, GPU or system raises out of its methods into the
training, except out of `save`, which holds the user's data. Wrong use raises at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labbook.client import values
from labbook.client.recording import Recording
from labbook.client.writing import touch_folder

if TYPE_CHECKING:
    import logging

    from labbook.client.advice import Advice, Adviser
    from labbook.client.chosen_set import ChosenSet
    from labbook.client.external import Registrar
    from labbook.client.follower import Follower
    from labbook.client.given import Inspection
    from labbook.client.outbox import Outbox
    from labbook.client.parts import Target
    from labbook.client.picking import By
    from labbook.client.throughput import Loader, Loaders

__all__ = ["Run"]


class Run(Recording):
    """The run being recorded. Made by `labbook.start()`.

    Usable as a context manager: leaving it finishes the run, as failed when an exception is on its
    way. Methods may be called from any thread of the process that made it.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._outbox: Outbox | None = None
        self._registrar: Registrar | None = None
        self._loaders: Loaders | None = None
        self._inspections: dict[str, Inspection] = {}
        self._followers: dict[str, Follower] = {}
        self._adviser: Adviser | None = None

    def choose(
        self,
        dataset: Any,
        n: int = 64,
        *,
        name: str = "chosen",
        seed: int = 0,
        by: By = "random",
        target: Target = None,
        **options: Any,
    ) -> ChosenSet:
        """Choose the examples to follow across iterations, the same in every run on this data.

        `by`: "random", "stratified" (by target), "spread" (far apart), "first" or indices. Further
        options: collate, forward, every, keep, precision, show, mean, std, sampling_rate and
        batch_size; see `labbook.client.chosen.choose`. Raises `MisuseError`.
        """
        from labbook.client.chosen import choose
        from labbook.client.outbox import Outbox

        if self._outbox is None:
            self._outbox = Outbox(self._journal)
            self._closing.append(self._outbox.close)
        options |= {"name": name, "seed": seed, "by": by, "target": target}
        options.setdefault("step_now", lambda: self._steps.current)
        return choose(self._journal, dataset, n, outbox=self._outbox, **options)

    def follow(self, model: Any, optimizer: Any = None, **options: Any) -> None:
        """Follow a net: weights, gradients, updates, activations, and what it is given at first.

        See `labbook.client.follow`, and `inspect`.
        """
        from labbook.client.follow import follow

        if not self._followers:
            self._ticking.append(self._drain_followers)
            self._closing.append(self._close_followers)
        records = self.writer.startswith("r0-") and not (self.finished or self._journal.detached)
        follow(
            self._journal,
            model,
            optimizer,
            **options,
            followers=self._followers,
            records=records,
            fact=lambda value: self._fact("model", value),
            step_now=lambda: self._steps.current if self._steps.first is not None else None,
        )
        name = options.get("name") or "model"
        if records and name not in self._inspections:
            self.inspect(model, name=name)

    def inspect(self, model: Any, loss: Any = None, **how: Any) -> Inspection:
        """Record the first batches as they are given to `model`: `labbook data` shows them.

        See `labbook.client.given.attach`.
        """
        from labbook.client.given import attach

        made = attach(self, model, loss, **how)
        earlier = self._inspections.get(made.name)
        if earlier is not None:
            earlier.close()
        self._inspections[made.name] = made
        return made

    def loader(self, loader: Any, *, name: str = "train") -> Loader:
        """Measure a loop: `for batch in run.loader(loader)`; it gets what `loader` yields.

        Steps and examples a second and the share of time spent waiting become gauges under `name`.
        See `labbook.client.throughput`.
        """
        return self._measured().wrap(loader, name)

    def data(self, name: str, source: Any, *, seconds: float = 2.0) -> None:
        """Record a fingerprint of the data trained on: `run.data("train", dataset)`, or a path.

        Takes about `seconds` at most and disturbs nothing; see `labbook.client.data.fingerprint`.
        Raises `MisuseError` for what is no data; what cannot be read is recorded as a reason.
        """
        from labbook.client.data import fingerprint

        found = fingerprint(name, source, seconds)
        if not (self.finished or self._journal.detached):
            self._fact("data", {"name": name, "data": found})

    def logging_handler(self, level: int | str = 0) -> logging.Handler:
        """Return a handler for the standard logging module: records become events of the run.

        `logging.getLogger().addHandler(run.logging_handler(level="INFO"))`.
        """
        from labbook.client.logging_handler import make

        return make(self, level)

    def save(self, obj: Any, *, step: int | None = None, name: str | None = None) -> Path:
        """Save a checkpoint into the run, atomically, and register it for evaluation.

        `obj` is what `torch.save` takes, usually `model.state_dict()`. Without `step`, the last
        logged one. Returns the file's path. Raises whatever `torch.save` would: it holds your data.
        """
        from labbook.client.checkpoints import save

        at = self._steps.current if step is None else values.check_step(step)
        path = save(self.paths, self._journal, obj, step=at, name=name)
        touch_folder(self.paths.root)
        return path

    def watch(self, pattern: str | os.PathLike[str]) -> None:
        """Register checkpoints that other code writes, by a glob such as `"ckpts/*.pt"`."""
        from labbook.client.external import Registrar

        if self._registrar is None:
            registrar = self._registrar = Registrar(self.paths, self._journal)
            self._ticking.append(registrar.scan)
            self._closing.append(lambda _: registrar.scan(final=True))
        self._registrar.watch(os.fspath(pattern))

    def advice(
        self,
        metric: str,
        *,
        evaluation: str | None = None,
        mode: str = "auto",
        patience: int = 5,
        min_delta: float = 0.0,
        subset: str | None = None,
    ) -> Advice:
        """Whether to stop, by the results that a watcher has made of this run so far.

        `if run.advice("accuracy", patience=5): break`. True once `patience` checkpoints in a row,
        by step, were not better than the best by more than `min_delta`. `mode` "auto" goes by the
        metric's name. `subset` None: the mini set where there is one. Takes microseconds and reads
        nothing: new results are looked for once a second on another thread. With several ranks ask
        on one, and broadcast the answer. Raises `MisuseError` for what cannot be asked.
        """
        if self._adviser is None:
            from labbook.client.advice import Adviser

            self._adviser = Adviser(self.paths, self._journal)
            self._ticking.append(self._adviser.tick)
        return self._adviser.ask(metric, evaluation, mode, patience, min_delta, subset)

    def _drain_followers(self) -> None:
        for follower in tuple(self._followers.values()):
            follower.drain()

    def _close_followers(self, _: float) -> None:
        for follower in self._followers.values():
            follower.close()

    def _measured(self) -> Loaders:
        from labbook.client.throughput import Loaders

        if self._loaders is None:
            self._loaders = Loaders(self._journal, self.paths, self.writer)
            self._ticking.append(self._loaders.tick)
            self._closing.append(self._loaders.close)
        return self._loaders

    def _checkpoint_folders(self) -> list[str]:
        """Return where other code writes checkpoints of this run; for the gauges."""
        return [] if self._registrar is None else self._registrar.folders()

    def _tell(self, fact: str, value: dict[str, Any]) -> None:
        """Keep a fact of this process that was found out beside the training; for the gauges."""
        if not self.finished:
            self._fact(fact, {**value, "writer": self.writer})
