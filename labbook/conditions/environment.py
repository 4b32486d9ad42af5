"""The environment variables that change what a training computes, by allow-list, masked."""

from __future__ import annotations

import os
from collections.abc import Mapping

from labbook.conditions import secrets

__all__ = ["PREFIXES", "allowed", "record"]

PREFIXES = (
    "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "GLOO_", "UCX_",
    "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "VECLIB_",
    "SLURM_", "TORCH", "PYTORCH_", "TF_", "XLA_", "JAX_", "LABBOOK_",
)  # fmt: skip
NAMES = frozenset({
    "PYTHONHASHSEED", "PYTHONOPTIMIZE", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_DEFAULT_ENV",
    "HF_HOME", "HF_DATASETS_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE",
    "TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM", "LD_PRELOAD", "MALLOC_ARENA_MAX",
    "RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT",
})  # fmt: skip


def allowed(name: str) -> bool:
    """Whether the variable `name` is recorded at all."""
    return name in NAMES or name.startswith(PREFIXES)


def record(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the allow-listed variables, sorted, with secrets masked."""
    found = os.environ if environ is None else environ
    kept = {name: found[name] for name in sorted(found) if allowed(name)}
    return secrets.mask_values(kept)[0]
