"""What torch says of its GPUs, only when the program has imported it and initialised CUDA itself.

Invariant: nothing here imports torch or initialises CUDA: a program that forks, or sets
`CUDA_VISIBLE_DEVICES` late, would break.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["TorchSource", "cuda_uuids"]

_GAUGES = ("torch_allocated_bytes", "torch_reserved_bytes", "torch_peak_bytes")


def _cuda() -> Any:
    """`torch.cuda` once the program has initialised it; else None. ROCm builds have it too."""
    torch = sys.modules.get("torch")
    # while torch is being imported in another thread it has not all its names
    cuda = getattr(torch, "cuda", None)
    is_initialized = getattr(cuda, "is_initialized", None)
    return cuda if is_initialized is not None and is_initialized() else None


def cuda_uuids() -> list[str] | None:
    """UUIDs of the GPUs as CUDA numbers them, without "GPU-"; None until CUDA is initialised.

    None as well for versions of torch that do not tell (before 2.5), and on AMD's GPUs.
    """
    cuda = _cuda()
    if cuda is None or getattr(sys.modules["torch"].version, "hip", None):
        return None
    found = [
        getattr(cuda.get_device_properties(index), "uuid", None)
        for index in range(cuda.device_count())
    ]
    return None if None in found or not found else [str(uuid) for uuid in found]


class TorchSource:
    """Torch's own account of GPU memory: what its tensors hold, what it keeps, the most they held.

    The peak is since the start, or since the program last called
    `torch.cuda.reset_peak_memory_stats`.
    """

    least_s = 0.0

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()

    def read(self) -> list[float | None]:
        """Return the bytes of each device; nothing while CUDA is not initialised."""
        cuda = _cuda()
        if cuda is None:
            return [None] * len(self.names)
        values: list[float | None] = []
        n_devices = cuda.device_count()
        for index in range(n_devices):
            stats = cuda.memory_stats_as_nested_dict(index)
            allocated = stats.get("allocated_bytes", {}).get("all", {})
            reserved = stats.get("reserved_bytes", {}).get("all", {})
            values += [allocated.get("current"), reserved.get("current"), allocated.get("peak")]
        self.names = tuple(f"gpu.{i}.{gauge}" for i in range(n_devices) for gauge in _GAUGES)
        return values
