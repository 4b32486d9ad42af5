"""Follows a net through its training: knows where a step begins and ends, and which are sampled.

A training step ends when its optimizer begins another; where several optimizers step one net, when
any of them comes again. Optimizers are seen through torch's own step hooks; the net carries hooks
only around a sampled step. The row of a sample gets the step that the run has reached when the
training step is over, so that it stands beside what was logged in it; of a program that logs
nothing the count of training steps.

Invariants: training is bit for bit what it is without (`tests/client/test_follow_bitwise.py`);
nothing raises into it; on CUDA nothing waits for the device; no strong reference keeps the net.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from labbook.client.activations import Probe, Units
from labbook.client.alarms import Alarms
from labbook.client.arriving import Arriving
from labbook.client.compiled import has_compiled, is_compiled, is_compiled_elsewhere
from labbook.client.hook import Hook, is_training_pass
from labbook.client.recorder import Recorder
from labbook.client.sample import Sample, has_closure
from labbook.client.sampling import Sampling
from labbook.client.tensor_stats import is_lazy

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

__all__ = ["Follower", "Options"]

FAULTS: Final = 5
"""After so many faults of ours the net is followed no further."""

MISSES: Final = 3
"""After so many samples without a forward pass activations are given up."""

LAST_S: Final = 0.3
"""The end of the run waits so long for the last sample to come from the device."""


@dataclass(frozen=True)
class Options:
    """How a net is followed."""

    every: int | None
    histograms: bool
    activations: bool
    prefix: str
    """Of the names of its tensors: "" or "generator."."""


class Follower:
    """Follows one net and the optimizers that step it.

    Without optimizers given, any that holds a parameter of the net is noticed when it steps.
    """

    def __init__(
        self,
        writer: Recorder,
        model: nn.Module,
        outer: nn.Module,
        optimizers: Sequence[Optimizer],
        options: Options,
        *,
        step_now: Callable[[], int | None],
        on_change: Callable[[nn.Module], None],
        tell: Callable[[str], None],
    ) -> None:
        self._writer = writer
        self._model = weakref.ref(model)
        self._outer = weakref.ref(outer)
        """What is called: `model` itself, or what torch.compile made around it."""
        self._options = options
        self._step_now = step_now
        self._on_change = on_change
        self._tell = tell
        self._schedule = Sampling(options.every)
        self._arriving = Arriving()
        self._units = Units()
        self._index = 0
        """Of the training step under way."""
        self._stepped: set[int] = set()
        self._expected = {id(optimizer) for optimizer in optimizers}
        self._optimizers = [weakref.ref(optimizer) for optimizer in optimizers]
        self._holds: weakref.WeakKeyDictionary[Optimizer, tuple[int, bool]] = (
            weakref.WeakKeyDictionary()
        )
        self._sample: Sample | None = None
        self._probed = -1  # the index whose forward pass was begun
        self._misses = 0
        self._early: Probe | None = None
        self._structure = _structure(model)
        self._is_given = bool(optimizers)
        self._n_faults = 0
        self._was_nonfinite = False
        self._alarms = Alarms(writer, tell, options.prefix)
        self._thread = threading.get_ident()
        self._forward_handle: Any = None
        self._leaf_handles: list[Any] = []
        self._step_handles = self._hang(optimizers)
        self.is_closed = False
        if outer is model and (is_compiled(model) or is_compiled_elsewhere(model)):
            self._give_up_forward()
        self._expect_forward()

    @property
    def model(self) -> nn.Module | None:
        """The net, while it lives."""
        return self._model()

    # ------------------------------------------------------------------ hooks

    def _hang(self, optimizers: Sequence[Optimizer]) -> list[Any]:
        from torch.optim import optimizer as optim

        before, after = Hook(self._before_step, self._fault), Hook(self._after_step, self._fault)
        if not optimizers:
            return [
                optim.register_optimizer_step_pre_hook(before),
                optim.register_optimizer_step_post_hook(after),
            ]
        handles: list[Any] = []
        for optimizer in optimizers:
            handles.append(optimizer.register_step_pre_hook(before))
            handles.append(optimizer.register_step_post_hook(after))
        return handles

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        if not self._is_given and not self._is_ours(optimizer):
            return
        if id(optimizer) in self._stepped:
            self._end_step()
        if self._index != self._schedule.due or self.is_closed:
            return
        began = time.perf_counter()
        sample, model = self._open(), self._model()
        if model is None:
            self.close()
            return
        self._end_forward(sample)
        sample.before_step(
            model, optimizer, self._elsewhere(optimizer), is_closure=has_closure(args, kwargs)
        )
        self._note_rates(sample, optimizer)
        sample.seconds += time.perf_counter() - began

    def _after_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        if not self._is_given and not self._is_ours(optimizer):
            return
        self._stepped.add(id(optimizer))
        sample = self._sample
        if sample is None and self._index + 1 != self._schedule.due:
            return
        model = self._model()
        if sample is not None and model is not None:
            began = time.perf_counter()
            sample.after_step(
                model, optimizer, self._elsewhere(optimizer), is_closure=has_closure(args, kwargs)
            )
            sample.seconds += time.perf_counter() - began
        self._thread = threading.get_ident()
        self._expect_forward()

    def _expect_forward(self) -> None:
        """Hang a hook in that sees the next forward pass begin: a sample ends or begins there."""
        model, outer = self._model(), self._outer()
        if model is None or outer is None or self.is_closed:
            return
        if self._forward_handle is None and self._misses < MISSES:
            hook = Hook(self._before_forward, self._fault)
            self._forward_handle = outer.register_forward_pre_hook(hook, with_kwargs=True)
        if self._index + bool(self._stepped) == self._schedule.due:
            self._hang_leaves(model)
            if 0 < self._misses < MISSES and self._early is None and self._options.activations:
                # the net is not called as a whole: its parts may be, one by one
                self._early = Probe(outer, self._units, self._fault)

    def _before_forward(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        if not is_training_pass(self._thread):
            return
        self._unhang_forward()
        if self._is_over():
            self._end_step()
        if self._index != self._schedule.due or self._probed == self._index or self.is_closed:
            return
        model = self._model()
        if model is None:
            return
        self._probed = self._index
        began = time.perf_counter()
        sample = self._open()
        sample.host["training/(model)"] = float(module.training)
        sample.host["modules_in_eval/(model)"] = float(
            sum(not each.training for each in model.modules())
        )
        sample.host["batch_size/(model)"] = _batch_size(args, kwargs)
        if self._options.activations:
            if sample.probe is not None:
                sample.probe.close()
            sample.probe = probe = Probe(module, self._units, self._fault, is_begun=True)
            probe.enter("", args, kwargs)
        self._hang_leaves(model)
        sample.seconds += time.perf_counter() - began

    # ------------------------------------------------------------------ gradients left over

    def _hang_leaves(self, model: nn.Module) -> None:
        """Look at one parameter of each optimizer before its gradient is accumulated.

        A gradient that is there already at the first backward pass was not cleared.
        """
        if self._leaf_handles:
            return
        ours = {id(p) for p in model.parameters()}
        for label, optimizer in self._labelled():
            leaf = next(
                (
                    p
                    for group in optimizer.param_groups
                    for p in group["params"]
                    if p.requires_grad and id(p) in ours
                ),
                None,
            )
            if leaf is not None:
                hook = Hook(self._leaf_hook(label, weakref.ref(leaf)), self._fault)
                self._leaf_handles.append(leaf.register_hook(hook))

    def _leaf_hook(self, label: str, leaf: weakref.ref[Any]) -> Callable[[Any], None]:
        def hook(gradient: Any) -> None:
            import torch

            if self._index + self._is_over() != self._schedule.due or self.is_closed:
                return
            if self._is_over():
                self._end_step()
            host = self._open().host
            key = f"backward_passes/{label}"
            host[key] = (host.get(key) or 0.0) + 1
            parameter = leaf()
            if host[key] == 1 and parameter is not None and self._index > 0:
                name = f"stale_gradient_norm/{label}"
                host[name] = 0.0
                if parameter.grad is not None and not parameter.grad.is_sparse:
                    with torch.no_grad():
                        norm = torch.linalg.vector_norm(parameter.grad, dtype=torch.float32)
                    self._open().vectors.append(([name], norm.reshape(1)))

        return hook

    def _unhang_leaves(self) -> None:
        for handle in self._leaf_handles:
            handle.remove()
        self._leaf_handles = []

    def _unhang_forward(self) -> None:
        if self._forward_handle is not None:
            self._forward_handle.remove()
            self._forward_handle = None

    # ------------------------------------------------------------------ steps

    def _is_over(self) -> bool:
        """Whether all optimizers of the training step have stepped."""
        return bool(self._stepped) and self._stepped >= self._expected

    def _open(self) -> Sample:
        if self._sample is None:
            self._sample = Sample(self._index, histograms=self._options.histograms)
            self._sample.opened_at = self._step_now() or 0
            self._sample.probe, self._early = self._early, None
        return self._sample

    def _end_forward(self, sample: Sample) -> None:
        """Take in what the forward pass showed, and learn whether passes can be seen at all."""
        if sample.is_forward_over:
            return
        sample.end_forward()
        if self._probed == sample.index or self._misses >= MISSES:
            return
        if sample.probe is not None and sample.probe.names:
            self._misses = 1
            return
        # hooks that come and go could make torch.compile compile anew each time
        self._misses = MISSES if has_compiled() else self._misses + 1
        if self._misses == MISSES:
            self._give_up_forward()

    def _give_up_forward(self) -> None:
        self._misses = MISSES
        text = (
            "activations are not recorded: no forward pass of the net can be seen. It is compiled "
            "as a whole, or not called as a module; give follow() what torch.compile returned, or "
            "compile its parts"
        )
        self._writer.event("activations-not-seen", text)

    def _end_step(self) -> None:
        """A training step is over: the next begins."""
        self._expected = set(self._stepped)
        self._stepped.clear()
        sample, self._sample = self._sample, None
        self._index += 1
        if sample is not None:
            self._finish_sample(sample)

    def _finish_sample(self, sample: Sample, step: int | None = None) -> None:
        began = time.perf_counter()
        self._end_forward(sample)
        self._unhang_leaves()
        step = self._step_now() if step is None else step
        at = sample.index if step is None else step

        def then(found: Mapping[str, float]) -> None:
            self._write(sample, found, at)

        if not self._arriving.send(sample.vectors, then):
            self._writer.fault(
                "follow", "samples of the net do not arrive from the device: dropped"
            )
        self._look_for_change()
        now = time.perf_counter()
        self._schedule.sampled(sample.index, sample.seconds + now - began, now)

    def _write(self, sample: Sample, found: Mapping[str, float], step: int) -> None:
        prefix = self._options.prefix
        for names, values in sample.rows(found):
            self._writer.row("model", _prefixed(names, prefix), values, step)
        host = {name: found.get(name, value) for name, value in sample.host.items()}
        self._alarms.look(host, step)
        first = sample.first_nonfinite(found)
        if first is not None and not self._was_nonfinite:
            text = f"values that are not finite, first {first.text}"
            fields = {"where": first.kind, "tensor": prefix + first.tensor, "count": first.n_values}
            self._writer.event("nonfinite", text, step, **fields)
            self._tell(f"step {step}: {text}")
        self._was_nonfinite = first is not None

    def _look_for_change(self) -> None:
        """Record the net anew when lazy parameters got shapes, layers were added or frozen."""
        model = self._model()
        if model is not None and (now := _structure(model)) != self._structure:
            self._structure = now
            self._on_change(model)

    # ------------------------------------------------------------------ optimizers

    def _is_ours(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer that nobody named steps this net."""
        n = sum(len(group["params"]) for group in optimizer.param_groups)
        known = self._holds.get(optimizer)
        if known is None or known[0] != n:
            model = self._model()
            ours = set() if model is None else {id(p) for p in model.parameters()}
            held = any(id(p) in ours for g in optimizer.param_groups for p in g["params"])
            known = self._holds[optimizer] = (n, held)
            if held and all(ref() is not optimizer for ref in self._optimizers):
                self._optimizers.append(weakref.ref(optimizer))
        return known[1]

    def _labelled(self) -> Iterator[tuple[str, Optimizer]]:
        """Optimizers by name, in a lasting order: `optimizer`, `optimizer2`, …"""
        for at, ref in enumerate(self._optimizers):
            if (optimizer := ref()) is not None:
                yield f"optimizer{at + 1}" if at else "optimizer", optimizer

    def _elsewhere(self, optimizer: Optimizer) -> set[int]:
        """Ids of the parameters that only other optimizers hold."""
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        others = [o for _, o in self._labelled() if o is not optimizer]
        return {id(p) for o in others for g in o.param_groups for p in g["params"]} - own

    def _note_rates(self, sample: Sample, optimizer: Optimizer) -> None:
        label = next(label for label, each in self._labelled() if each is optimizer)
        for at, group in enumerate(optimizer.param_groups):
            sample.add_rate(f"{label}.group{at}", group["lr"])

    # ------------------------------------------------------------------ life

    def drain(self) -> None:
        """Write what has come from the devices; from any thread."""
        self._arriving.drain()

    def close(self) -> None:
        """Take all hooks out and write the last sample."""
        if self.is_closed:
            return
        self.is_closed = True
        for handle in self._step_handles:
            handle.remove()
        self._unhang_forward()
        self._unhang_leaves()
        sample, self._sample = self._sample, None
        for probe in (self._early, None if sample is None else sample.probe):
            if probe is not None:
                probe.close()
        try:
            if sample is not None:
                # the program broke off before the step, or steps cannot be seen
                self._finish_sample(sample, None if self._stepped else sample.opened_at)
            if self._index == 0 and not self._stepped:
                text = (
                    "no optimizer step of the followed net was seen: no torch optimizer steps it, "
                    "or the step itself is compiled"
                )
                self._writer.event("steps-not-seen", text)
            self._arriving.drain(LAST_S)
        except Exception as error:  # the end of the run must come whatever a device says
            self._writer.fault("follow", _said(error))

    def _fault(self, error: BaseException) -> None:
        """Count what went wrong; the sample is given up."""
        self._writer.fault("follow", _said(error))
        self._n_faults += 1
        sample, self._sample = self._sample, None
        if sample is not None:
            if sample.probe is not None:
                sample.probe.close()
            self._schedule.sampled(self._index, sample.seconds, time.perf_counter())
        if self._n_faults >= FAULTS:
            self.close()


def _prefixed(names: tuple[str, ...], prefix: str) -> tuple[str, ...]:
    if not prefix:
        return names
    split = (name.partition("/") for name in names)
    return tuple(f"{statistic}/{prefix}{tensor}" for statistic, _, tensor in split)


def _said(error: BaseException) -> str:
    first = str(error).partition("\n")[0][:200]
    return f"following the net: {type(error).__name__}: {first}; training goes on"


def _structure(model: nn.Module) -> list[Any]:
    """Changes when the net does: cheap, and only compared with itself."""
    return [
        (id(p), None if is_lazy(p) else p.shape, p.dtype, p.requires_grad)
        for p in model.parameters()
    ]


def _batch_size(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> float | None:
    for given in (*args, *kwargs.values()):
        shape = getattr(given, "shape", None)
        if shape is not None and len(shape):
            return float(shape[0])
    return None
