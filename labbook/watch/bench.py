"""Where the worker works: one command at a time, answered by a result or by what failed."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from labbook.errors import DamagedFile, EvaluationError, Skip
from labbook.paths import RunPaths
from labbook.watch import environment
from labbook.watch.before import Before
from labbook.watch.context import Arguments, ChosenSets, Context
from labbook.watch.facts import RunFacts, arguments_digest, read_facts
from labbook.watch.findings import Report
from labbook.watch.identity import identify
from labbook.watch.load import DamagedLoad, describe_settings, verify_checksums
from labbook.watch.looks import Looks
from labbook.watch.program import Program, user_error
from labbook.watch.publish import Unpublished, publish, to_table
from labbook.watch.session import Outcome, Session, Work

__all__ = ["Bench"]

_PROGRESS_S = 0.5

_TOLD = (
    "metrics", "n_examples", "n_nonfinite", "seconds", "warnings", "environment", "coverage",
)  # fmt: skip
"""What the supervisor hears of a result's metadata."""


class Bench:
    """Warm sessions, one an evaluation, and the code they run."""

    def __init__(
        self,
        program: Program,
        device: torch.device,
        scratch: Path,
        send: Callable[..., None],
        origin: dict[str, Any] | None = None,
    ) -> None:
        self._program = program
        self._device = device
        self._scratch = scratch
        self._send = send
        self._sessions: dict[str, tuple[str, Session]] = {}
        files = program.code()
        self.code = {"mode": "current", "digest": program.code_digest(), "files": files}
        self.code |= origin or {}
        self._looks = Looks()
        self._modules = frozenset(sys.modules)
        self._imported = str(self.code["digest"])
        self.keys = {name: program.key_digest(name) for name in program.evaluations}
        """What the keys of results hold of the code, by evaluation."""
        self._before = Before()

    def take(self, command: dict[str, Any]) -> None:
        """Do what was asked and answer; nothing of the user's gets past this."""
        key = command["key"]
        try:
            self._send(type="result", key=key, **self._evaluate(command))
        except Skip as skip:
            self._send(type="skipped", key=key, text=str(skip) or "the evaluation skipped it")
        except Exception as error:  # the outer border of the user's code: told, never swallowed
            self._send(
                type="failed",
                key=key,
                kind=_kind(error),
                text=self._text(error),
                traceback=self._program.told_trace(traceback.format_exc()),
            )

    def _evaluate(self, command: dict[str, Any]) -> dict[str, Any]:
        self._send(type="begun", key=command["key"], time_ns=time.time_ns())
        started_ns = time.time_ns()
        began = time.monotonic()
        session = self._session(command)
        checkpoint = command["checkpoint"]
        path = Path(command["path"])
        work = Work(path, checkpoint["kind"], command["subset"], checkpoint["step"])
        before = _content(path, command)
        if str(checkpoint["digest"]).startswith("zip:"):
            verify_checksums(path)
        warnings = session.load(work)
        if _content(path, command) != before:
            raise DamagedLoad("the checkpoint changed while it was loaded")
        outcome = session.evaluate(work, self._progress(command["key"]))
        paths = RunPaths(Path(command["run_root"]))
        same = {
            "code": self.code["digest"],
            "arguments_digest": command["arguments_digest"],
            "data_digest": session.data_digest,
            "batch_size": outcome.batch_size,
            "weights": session.declared.weights,
            "seed": session.declared.seed,
        }
        report = self._looks.look(paths, session, work, outcome, same)
        metadata = self._metadata(command, session, outcome, report)
        metadata["warnings"] = [*warnings, *metadata["warnings"]]
        metadata["started_ns"] = started_ns
        metadata["seconds"] = round(time.monotonic() - began, 6)
        target = paths.result(command["evaluation"], command["key"])
        metadata["warnings"] += self._before.differences(target, metadata)
        is_first = publish(to_table(outcome.rows, metadata), target, paths.root)
        return {"published": is_first, **{name: metadata[name] for name in _TOLD}}

    def _session(self, command: dict[str, Any]) -> Session:
        """The warm session, or a new one when the run's arguments are others."""
        name, digest = command["evaluation"], command["arguments_digest"]
        paths = RunPaths(Path(command["run_root"]))
        facts = read_facts(paths)
        chosen = self._looks.chosen_of(paths)
        if facts is None or arguments_digest(facts.arguments) != digest:
            raise DamagedLoad("the run's arguments changed meanwhile")
        held = self._sessions.get(name)
        if held is not None and held[1].is_made_for_others(facts.id, chosen):
            held = None
        if held is None or held[0] != digest:
            # the old model goes before the new one comes: two may not fit
            self._sessions.pop(name, None)
            session = self._new_session(name, facts, chosen)
            self._sessions[name] = (digest, session)
        session = self._sessions[name][1]
        session.context.begin_run(facts.id, facts.conditions, chosen)
        return session

    def _new_session(self, name: str, facts: RunFacts, chosen: Callable[[], ChosenSets]) -> Session:
        declared, target = self._program.evaluations[name]
        context = Context(
            args=Arguments(facts.arguments),
            conditions=facts.conditions,
            run=facts.id,
            device=self._device,
            scratch=self._scratch,
            read_chosen=chosen,
        )
        session = Session(declared, target, self._program.module_of(name), context)
        session.start()
        return session

    def _progress(self, key: str) -> Callable[[int, int | None], None]:
        last = time.monotonic()

        def tell(done: int, total: int | None) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _PROGRESS_S:
                last = now
                self._send(type="progress", key=key, done=done, total=total)

        return tell

    def _metadata(
        self,
        command: dict[str, Any],
        session: Session,
        outcome: Outcome,
        report: Report | None,
    ) -> dict[str, Any]:
        warnings = [finding.text for finding in report.findings] if report else []
        if sys.modules.keys() != self._modules:
            self._modules = frozenset(sys.modules)
            self._imported = self._program.code_digest()
        if self._imported != self.code["digest"]:
            warnings = [*warnings, "more of your code was imported while it ran than before"]
        return {
            "format": 1,
            "run": Path(command["run_root"]).name,
            "evaluation": command["evaluation"],
            "key": command["key"],
            "checkpoint": command["checkpoint"],
            "subset": command["subset"],
            "coverage": outcome.coverage,
            "n_examples": outcome.n_examples,
            "n_expected": outcome.n_expected,
            "metrics": outcome.metrics,
            "metrics_source": outcome.source,
            "stderr": outcome.stderr,
            "n_nonfinite": outcome.n_nonfinite,
            "started_ns": 0,
            "ended_ns": time.time_ns(),
            "seconds": 0.0,
            "evaluation_seconds": round(outcome.seconds, 6),
            "device": _device_name(self._device),
            "host": socket.gethostname(),
            "settings": {
                **command["settings"],
                **describe_settings(),
                **outcome.settings,
                "batch_size_used": outcome.batch_size,
                "precision": session.precision,
            },
            "code": {
                **self.code,
                "key_digest": self.keys[command["evaluation"]],
                "imported": self._imported,
                "why": command.get("why"),
            },
            "environment": environment.differences(session.context.conditions),
            "lanes": {"mini": session.declared.mini, "full_every": session.declared.full_every},
            "arguments_digest": command["arguments_digest"],
            "data_digest": session.data_digest,
            "chosen": self._looks.matched(RunPaths(Path(command["run_root"])), session),
            "probes": report.as_json() if report else None,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "cuda": torch.version.cuda,
                "numpy": np.__version__,
                "pyarrow": pa.__version__,
            },
            "warnings": [*outcome.warnings, *warnings],
        }

    def _text(self, error: Exception) -> str:
        if isinstance(error, EvaluationError | DamagedLoad | DamagedFile | Unpublished):
            return str(error)
        return user_error(error, self._program)


def _content(path: Path, command: dict[str, Any]) -> list[tuple[str, int, int]]:
    """The pinned file's sizes and times; raises `DamagedLoad` unless they are as claimed."""
    try:
        found = list(identify(path).content())
    except FileNotFoundError as error:
        raise DamagedLoad("the pinned checkpoint was removed") from error
    claimed = [(str(name), int(size), int(time_ns)) for name, size, time_ns in command["content"]]
    if found != claimed:
        raise DamagedLoad("the checkpoint was written again after it was claimed")
    return found


def _kind(error: Exception) -> str:
    """How a failure is treated; see `policy.Retries`."""
    if isinstance(error, DamagedLoad | DamagedFile):
        return "load"
    if isinstance(error, Unpublished):
        return "storage"
    if isinstance(error, torch.OutOfMemoryError) or "CUDA error" in str(error):
        return "cuda"
    return "user"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return str(device) if device.type != "cpu" else f"cpu {platform.machine()} {os.cpu_count()}"
