"""The digits example passes its own checks, and one-line mistakes in a copy of it are found.

Each mistake is made in a real copy, checked as a user would, and must be named at its line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples/digits"

MISTAKES = {
    "gradients-not-cleared": (
        "train.py", "            optimizer.zero_grad()\n", "", {"loop/stale-grad"},
    ),
    "softmax-twice": (
        "train.py",
        "        nn.Linear(2 * width * 16, 10),\n",
        "        nn.Linear(2 * width * 16, 10), nn.Softmax(1),\n",
        {"loss/probabilities-as-logits"},
    ),
    "only-the-head-is-trained": (
        "checks.py",
        "torch.optim.AdamW(model.parameters(), 1e-3)",
        "torch.optim.AdamW(model[-1].parameters(), 1e-3)",
        {"optim/missing-parameters"},
    ),
    "evaluated-in-training-mode": (
        "checks.py", "        model.eval()\n", "", {"eval/train-mode"},
    ),
    "labels-from-one": (
        "train.py",
        "labels = torch.tensor(bunch.target)",
        "labels = torch.tensor(bunch.target) + 1",
        {"data/target-range"},
    ),
    "validation-in-training": (
        "train.py",
        "train, val = order[:1347], order[1347:]",
        "train, val = order[:1347], order[1000:]",
        {"data/train-val-duplicates"},
    ),
    "not-scaled": (
        "train.py", "[:, None] / 16\n", "[:, None] * 16\n", {"data/not-standardized"},
    ),
    "rate-far-too-high": (
        "checks.py",
        "AdamW(model.parameters(), 1e-3)",
        "AdamW(model.parameters(), 30.0)",
        {"optim/lr-at-edge", "fit/overfit-1", "fit/overfit-few", "fit/overfit-many"},
    ),
    "labels-of-other-images": (
        "train.py",
        "TensorDataset(images[train], labels[train])",
        "TensorDataset(images[train], labels[train.flip(0)])",
        {"fit/zero-input"},
    ),
    "never-stepped": (
        "train.py", "            optimizer.step()\n", "", {"optim/step-missing"},
    ),
    "the-wrong-sign": (
        "checks.py",
        "loss=F.cross_entropy,",
        "loss=lambda logits, labels: -F.cross_entropy(logits, labels),",
        {"loss/sign"},
    ),
    "stays-in-evaluation-mode": (
        "checks.py", "        model.train()\n", "", {"loop/eval-never-left"},
    ),
    "not-a-number": (
        "train.py", "[:, None] / 16\n", "[:, None] / 0\n", {"data/nonfinite"},
    ),
    "a-part-of-the-validation-set": (
        "checks.py",
        "                correct += (model(images).argmax(1) == labels).sum().item()\n",
        "                correct += (model(images).argmax(1) == labels).sum().item(); break\n",
        {"eval/not-whole-set"},
    ),
}  # fmt: skip
"""name -> (file, line, what it became, the rules that are right)"""


def checked(folder):
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LABBOOK_")}
    done = subprocess.run(
        [sys.executable, "-m", "labbook.cli", "check", "checks.py", "--json", "--budget", "120"],
        cwd=folder, env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stdout[-2000:] + done.stderr[-2000:]
    return done.returncode, json.loads(done.stdout)


def copied(folder):
    for name in ("train.py", "checks.py"):
        shutil.copy(EXAMPLE / name, folder)
    return folder


@pytest.mark.timeout(300)
def test_the_example_passes(tmp_path):
    status, report = checked(copied(tmp_path))
    alarms = [(f["rule"], f["evidence"]) for f in report["findings"] if f["status"] != "note"]
    assert (status, alarms) == (0, [])
    assert not [s for s in report["skipped"] if s["crashed"]]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_and_its_line_named(tmp_path, name):
    file, line, became, right = MISTAKES[name]
    path = copied(tmp_path) / file
    text = path.read_text()
    assert text.count(line) == 1
    path.write_text(text.replace(line, became))
    _, report = checked(tmp_path)
    alarms = [f for f in report["findings"] if f["status"] != "note" and not f["follows_from"]]
    shown = [(f["status"], f["rule"], f["where"]) for f in alarms]
    found = [f for f in alarms if f["rule"] in right]
    assert found, shown
    assert len(alarms) <= 3, shown
    at = text[: text.index(line)].count("\n") + 1
    assert any(near(f["where"], file, at) for f in found), (at, shown)


def near(where, file, line):
    """Whether a place is the changed line, or one beside it, or the function around it."""
    text = (EXAMPLE / file).read_text().splitlines()
    for name, number in re.findall(r"(\w+\.py):(\d+)", where):
        if name != file:
            continue
        begins = max(
            n for n, code in enumerate(text[:line], 1) if re.match(r"\s*(def|class) ", code)
        )
        if begins <= int(number) <= line + 6:
            return True
    return False
