"""What flows through a net in one forward pass, module by module, in the order of execution.

Hooks are hung in for that pass alone. Measured are the output of every module, and the input of a
module where no module made it (the batch itself, `F.relu(conv(x))`): each tensor once, by the name
`conv1`, `conv2(input)`, `(output)` for the net's own. A module called again is `relu#2`.
"""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from labbook.client.arriving import Vector
from labbook.client.batches import main_output
from labbook.client.compiled import is_compiled
from labbook.client.hook import Hook, is_training_pass
from labbook.client.tensor_stats import flat, is_measurable, nonfinite

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Probe", "Units", "row"]

STATISTICS: Final = ("mean", "sd", "zeros", "dead", "nonfinite")

SAMPLE: Final = 1 << 16
"""Elements of one tensor that mean, sd and zeros are taken over: of a larger one of every so
many-th example. Dead units and what is not finite are looked for in all."""

CALLS: Final = 8
"""So many calls of one module in one pass are told apart; later ones are not measured."""

MOST: Final = 4096
"""Tensors measured in one pass."""

DEAD_SHARE: Final = 0.01
DEAD_SAMPLES: Final = 10
"""A unit is dead that was active on less than 1 % of the examples in each of the last 10 samples
(SageMaker Debugger, rule DeadRelu, has the same numbers)."""

_RECTIFIERS: Final = frozenset({
    "ReLU", "ReLU6", "RReLU", "Threshold", "Hardtanh", "Hardswish", "Hardsigmoid", "Hardshrink",
    "Softshrink",
})  # fmt: skip


class Units:
    """How active each unit was in the samples before, by the name of its tensor."""

    def __init__(self) -> None:
        self._shares: dict[str, deque[Tensor]] = {}

    def dead(self, name: str, share: Tensor) -> Tensor:
        """The share of units (units,) that are dead, now that `share` was active (units,)."""
        import torch

        kept = self._shares.setdefault(name, deque(maxlen=DEAD_SAMPLES))
        if kept and (kept[-1].shape != share.shape or kept[-1].device != share.device):
            kept.clear()
        kept.append(share)
        return (torch.stack(list(kept)).amax(0) < DEAD_SHARE).to(torch.float32).mean()


class Probe:
    """Hooks on every module that measure the next forward pass of `root`, or what of it comes.

    `fault` gets what goes wrong; then the rest of the pass is left alone.
    """

    def __init__(
        self,
        root: nn.Module,
        units: Units,
        fault: Callable[[BaseException], None],
        *,
        is_begun: bool = False,
    ) -> None:
        self.names: list[str] = []
        """Of the tensors measured, in the order of execution."""
        self.is_over = False
        self.seconds = 0.0
        """That the hooks took."""
        self._root = root
        self._units = units
        self._fault = fault
        self._thread = threading.get_ident()
        self._values: list[Tensor] = []
        self._seen: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._calls: dict[str, int] = {}
        self._outermost: set[str] = set()
        self._depth = 0
        self._after_convolution = False
        self._handles: list[Any] = []
        self._hang(is_begun)

    def _hang(self, is_begun: bool) -> None:
        for name, module in followed_modules(self._root):
            hooks = Hook(self._before(name), self._stop), Hook(self._after(name), self._stop)
            if not (is_begun and module is self._root):  # its own pre-hook made this probe
                self._handles.append(module.register_forward_pre_hook(hooks[0], with_kwargs=True))
            # always: also when the forward pass raises, for the depth to be right
            self._handles.append(module.register_forward_hook(hooks[1], always_call=True))

    def close(self) -> None:
        """Take all hooks out."""
        self.is_over = True
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._seen = {}

    def vectors(self) -> list[Vector]:
        """The statistics of each tensor."""
        import torch

        names = (f"activation_{s}/{name}" for name in self.names for s in STATISTICS)
        groups: dict[Any, tuple[list[str], list[Tensor]]] = {}
        for name, value in zip(names, self._values, strict=True):
            group = groups.setdefault((value.device, value.dtype), ([], []))
            group[0].append(name)
            group[1].append(value)
        return [(some, torch.stack(values)) for some, values in groups.values()]

    # ------------------------------------------------------------------ hooks

    def _before(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            if not self.is_over and is_training_pass(self._thread):
                began = time.perf_counter()
                self.enter(name, args, kwargs)
                self.seconds += time.perf_counter() - began

        return hook

    def enter(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Note that a module is called."""
        if self._depth == 0:
            if name in self._outermost:  # a second pass, of parts that are called one by one
                self.close()
                return
            self._outermost.add(name)
        self._depth += 1
        given = _input(args, kwargs)
        if given is not None and not self._is_seen(given):
            self._measure(f"{name}(input)", given, is_rectified=name != "")

    def _after(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if not self.is_over and self._depth and is_training_pass(self._thread):
                began = time.perf_counter()
                self._leave(name, module, main_output(output))
                self.seconds += time.perf_counter() - began

        return hook

    def _leave(self, name: str, module: nn.Module, output: Any) -> None:
        self._depth -= 1
        n_axes = getattr(getattr(module, "weight", None), "ndim", 0)
        if n_axes > 1:
            self._after_convolution = n_axes > 2
        if is_measurable(output) and not self._is_seen(output):
            kind = type(module).__name__
            self._measure(name or "(output)", output, is_rectified=kind in _RECTIFIERS)
        if module is self._root:
            self.close()

    def _stop(self, error: BaseException) -> None:
        self.close()
        self._fault(error)

    # ------------------------------------------------------------------ tensors

    def _is_seen(self, tensor: Tensor) -> bool:
        """Whether this very content was measured; a tensor changed in place is another."""
        for one in (tensor, tensor._base):
            known = None if one is None else self._seen.get(id(one))
            if known is not None and known[0]() is one and known[1] == tensor._version:
                return True
        return False

    def _measure(self, name: str, tensor: Tensor, *, is_rectified: bool) -> None:
        import torch

        self._seen[id(tensor)] = weakref.ref(tensor), tensor._version
        calls = self._calls[name] = self._calls.get(name, 0) + 1
        if calls > CALLS or len(self.names) >= MOST:
            return
        if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
            return
        name = name if calls == 1 else f"{name}#{calls}"
        with torch.no_grad():
            self._values += self._statistics(name, tensor.detach(), is_rectified=is_rectified)
        self.names.append(name)

    def _statistics(self, name: str, tensor: Tensor, *, is_rectified: bool) -> list[Tensor]:
        import torch

        part = _some_examples(tensor)
        values = flat(part)
        exact = values if values.dtype == torch.float64 else values.to(torch.float32)
        n = values.numel()
        total = exact.sum()
        mean = total / n
        sd = torch.linalg.vector_norm(exact - mean) / n**0.5
        sign = exact.sign()  # and its square, summed: count_nonzero is ten times slower on a ReLU's
        zeros = 1 - torch.dot(sign, sign) / n + (total - total)  # NaN where values are
        dead = (
            self._dead(name, tensor)
            if is_rectified and tensor.ndim > 1
            else torch.full_like(mean, float("nan"))
        )
        cheap = total if part is tensor else tensor.sum(dtype=torch.float32)
        return [mean, sd, zeros, dead, nonfinite([tensor], cheap.reshape(1))[0]]

    def _dead(self, name: str, tensor: Tensor) -> Tensor:
        """The share of dead units of the output (N, units, …) or (…, units) of a rectifier."""
        import torch

        active = tensor
        if self._after_convolution and tensor.ndim > 2:
            # an example is an image, not a position of it; sums of what a rectifier gives are zero
            # where all is, and ten times faster than the greatest value
            active = tensor.sum(tuple(range(2, tensor.ndim)), dtype=torch.float32)
        share = active.flatten(0, -2).ne(0).to(torch.float32).mean(0)
        return self._units.dead(name, share)


def followed_modules(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules whose calls can be seen: none inside a compiled or scripted one."""
    import torch

    hidden: list[str] = []
    for name, module in root.named_modules():
        if any(outer == "" or name.startswith(f"{outer}.") for outer in hidden):
            continue
        yield name, module
        if is_compiled(module) or isinstance(module, torch.jit.ScriptModule):
            hidden.append(name)


def _input(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """What a module works on: its first argument, and no mask, which may be infinite."""
    if args:
        given = args[0]
    else:
        given = next((v for k, v in kwargs.items() if "mask" not in k and is_measurable(v)), None)
    return given if is_measurable(given) else None


def _some_examples(tensor: Tensor) -> Tensor:
    """A view of every so many-th example, of at most about `SAMPLE` elements."""
    n = tensor.numel()
    if n <= SAMPLE or tensor.ndim < 2:
        return tensor
    return tensor[:: min(-(-n // SAMPLE), len(tensor))]


def row(names: list[str], found: Mapping[str, float]) -> tuple[tuple[str, ...], list[float | None]]:
    """Names and values of one row of the table "model"; dead units are None where none can be."""
    values: dict[str, float | None] = {}
    for name in names:
        for statistic in STATISTICS:
            value = found.get(f"activation_{statistic}/{name}")
            is_unknown = statistic == "dead" and value is not None and math.isnan(value)
            values[f"activation_{statistic}/{name}"] = None if is_unknown else value
    return tuple(values), list(values.values())
