"""Checks one program and prints the report as JSON: `python -m tests.planted.child FILE`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType


def main() -> int:
    """Run `labbook.check` on the program's subject."""
    parser = argparse.ArgumentParser("python -m tests.planted.child", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--budget", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")

    import torch

    import labbook

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    subject = load(args.file).subject
    began = time.perf_counter()
    report = labbook.check(subject, budget_s=args.budget, seed=args.seed)
    record = report.as_dict() | {"wall_s": time.perf_counter() - began}
    print(json.dumps(record, default=str))
    return 0


def load(path: Path) -> ModuleType:
    """Import a program under its own name, so that its classes can be found again."""
    spec = importlib.util.spec_from_file_location("program", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["program"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
