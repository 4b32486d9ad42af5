"""The GPUs this process may use, by UUID, through NVML where a driver is loaded.

Nothing is imported on a machine without a driver. `CUDA_VISIBLE_DEVICES` is honoured the way
CUDA reads it: indices, UUIDs or their unique beginnings, and the list ends at the first entry
that names nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["describe", "driver_is_loaded", "visible"]

NO_DRIVER = "no NVIDIA driver is loaded"


def driver_is_loaded() -> bool:
    """Whether asking NVML is worth its import: two `stat` calls."""
    return os.path.exists("/proc/driver/nvidia/version") or os.path.exists("/dev/dxg")


def visible(uuids: Sequence[str], setting: str | None) -> list[int]:
    """Return the positions in `uuids` that `CUDA_VISIBLE_DEVICES=setting` leaves, in its order."""
    if setting is None:
        return list(range(len(uuids)))
    found: list[int] = []
    for word in (part.strip() for part in setting.split(",")):
        index = _position(uuids, word)
        if index is None:
            break
        if index in found:  # CUDA takes a list with a repeated device for an empty one
            return []
        found.append(index)
    return found


def describe() -> dict[str, Any]:
    """Return `gpus`, `driver`, `cuda`, and `gpu_reason`: why there are none, or a doubt."""
    nothing: dict[str, Any] = {"gpus": [], "driver": None, "cuda": None, "gpu_reason": NO_DRIVER}
    if not driver_is_loaded():
        return nothing
    try:
        import pynvml
    except ImportError:
        return {**nothing, "gpu_reason": "nvidia-ml-py is not installed"}
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return {**nothing, "gpu_reason": f"the NVIDIA driver does not answer: {error}"}
    try:
        return _ask(pynvml)
    except pynvml.NVMLError as error:
        return {**nothing, "gpu_reason": f"the NVIDIA driver gave an error: {error}"}
    finally:
        pynvml.nvmlShutdown()


def _position(uuids: Sequence[str], word: str) -> int | None:
    if word.isdigit():
        return int(word) if int(word) < len(uuids) else None
    matches = [i for i, uuid in enumerate(uuids) if word and uuid.startswith(word)]
    return matches[0] if len(matches) == 1 else None


def _ask(nvml: Any) -> dict[str, Any]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    chosen: list[tuple[int | None, Any]]
    if setting and setting.strip().startswith("MIG-"):
        chosen = [
            (None, nvml.nvmlDeviceGetHandleByUUID(part.strip())) for part in setting.split(",")
        ]
    else:
        uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
        chosen = [(i, handles[i]) for i in visible(uuids, setting)]
    found = [_gpu(nvml, index, handle) for index, handle in chosen]
    return {
        "gpus": found,
        "driver": _text(nvml.nvmlSystemGetDriverVersion()),
        "cuda": _cuda(nvml.nvmlSystemGetCudaDriverVersion()),
        "cuda_runtime": _cuda_runtime(),
        "gpu_reason": _reason(found, setting),
    }


def _gpu(nvml: Any, index: int | None, handle: Any) -> dict[str, Any]:
    """One device; `index` is NVML's (the order of the PCI bus), null for a MIG slice."""
    return {
        "index": index,
        "uuid": _text(nvml.nvmlDeviceGetUUID(handle)),
        "name": _text(nvml.nvmlDeviceGetName(handle)),
        "memory_bytes": int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
    }


def _reason(found: list[dict[str, Any]], setting: str | None) -> str | None:
    if not found:
        return f"CUDA_VISIBLE_DEVICES={setting!r} leaves no GPU"
    by_index = setting is not None and setting.strip()[:1].isdigit()
    in_bus_order = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if by_index and not in_bus_order and len({gpu["name"] for gpu in found}) > 1:
        return "the GPUs differ and CUDA_DEVICE_ORDER is not PCI_BUS_ID: CUDA may order them anew"
    return None


def _cuda(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"  # 12040 is 12.4: cuda.h, CUDA_VERSION


def _cuda_runtime() -> str | None:
    """CUDA that torch was built for; null unless the program has imported torch."""
    torch_version = sys.modules.get("torch.version")
    return getattr(torch_version, "cuda", None)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
