"""Checkpoints as the frameworks themselves write them: whole, and loaded into a bare model."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from labbook.watch.complete import Unfinished, Whole, examine, is_folder_format
from labbook.watch.discover import step_of
from labbook.watch.load import load_into, read_state

LIGHTNING = """
import argparse, lightning, torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

class Net(lightning.LightningModule):
    def __init__(self, args):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    def training_step(self, batch, index):
        x, y = batch
        return nn.functional.cross_entropy(self.net(x), y)
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 0.1)

torch.manual_seed(0)
data = torch.utils.data.TensorDataset(torch.randn(16, 3), torch.randint(0, 2, (16,)))
model = Net(argparse.Namespace(lr=0.1))
trainer = lightning.Trainer(
    max_epochs=2, logger=False, enable_progress_bar=False, enable_model_summary=False,
    accelerator="cpu", callbacks=[ModelCheckpoint(dirpath="saved", save_top_k=-1)],
)
trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=4))
torch.save(model.net.state_dict(), "truth.pt")
"""

TRANSFORMERS = """
import torch
from transformers import BertConfig, BertForSequenceClassification

torch.manual_seed(0)
config = BertConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                    intermediate_size=64, num_labels=3)
model = BertForSequenceClassification(config)
model.save_pretrained("one")
model.save_pretrained("sharded", max_shard_size="40KB")
torch.save(model.state_dict(), "truth.pt")
"""


def run(script: str, folder: Path) -> dict[str, torch.Tensor]:
    """Run a script in a process of its own; the weights it says it saved."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    truth: dict[str, torch.Tensor] = torch.load(folder / "truth.pt", weights_only=True)
    return truth


def look(path: Path) -> Whole | Unfinished:
    return examine(path, None, time.time_ns() + 60 * 10**9, lambda: None)


def is_equal(found: dict[str, torch.Tensor], truth: dict[str, torch.Tensor]) -> bool:
    return found.keys() == truth.keys() and all(torch.equal(found[k], truth[k]) for k in truth)


@pytest.mark.timeout(120)
def test_lightning(tmp_path: Path):
    """Its file holds the hyperparameters as an object, beside the weights of the whole module."""
    pytest.importorskip("lightning")
    truth = run(LIGHTNING, tmp_path)
    last = max((tmp_path / "saved").glob("*.ckpt"), key=lambda path: step_of(path.name) or 0)
    assert step_of(last.name) == 8
    found = look(last)
    assert isinstance(found, Whole), found
    assert (found.kind, found.completeness) == ("torch", "structure")
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
    [note] = load_into(model, read_state(last, "torch", "model"))
    assert "'net'" in note
    assert is_equal(model.state_dict(), truth)


@pytest.mark.timeout(120)
def test_transformers(tmp_path: Path):
    pytest.importorskip("transformers")
    truth = run(TRANSFORMERS, tmp_path)
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    for name in ("one", "sharded"):
        folder = tmp_path / name
        assert is_folder_format(folder)
        found = look(folder)
        assert isinstance(found, Whole), found
        assert (found.kind, found.completeness) == ("hf", "structure")
        assert is_equal(read_state(folder, "hf", "model"), truth)
    next((tmp_path / "sharded").glob("*-00002-*.safetensors")).unlink()
    missing = look(tmp_path / "sharded")
    assert isinstance(missing, Unfinished)
    assert "is missing" in missing.text
