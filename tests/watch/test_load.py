"""Weights from every format into a warm model, in place; and what is said when they do not fit."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file

from labbook.errors import EvaluationError
from labbook.watch.load import DamagedLoad, load_into, read_state, verify_checksums
from tests.watch.conftest import net


def same(model: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def trained() -> torch.nn.Module:
    return net(seed=5)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "step": 3},
        lambda state: {"state_dict": state, "epoch": 1, "pytorch-lightning_version": "2"},
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
        lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()},
        lambda state: {"model": {"state_dict": state}},
    ],
)
def test_usual_wrappings(tmp_path: Path, trained: torch.nn.Module, wrap: object):
    path = tmp_path / "x.pt"
    torch.save(wrap(trained.state_dict()), path)  # type: ignore[operator]
    model = net()
    assert load_into(model, read_state(path, "torch", "model")) == []
    assert same(model, trained)


def test_weights_are_copied_in_place(trained: torch.nn.Module):
    model = net()
    before = [value.data_ptr() for value in model.state_dict().values()]
    load_into(model, trained.state_dict())
    assert [value.data_ptr() for value in model.state_dict().values()] == before


def test_one_common_prefix_is_left_off_and_said(trained: torch.nn.Module):
    """A Lightning module keeps its network under an attribute."""
    model = net()
    state = {f"network.{name}": value for name, value in trained.state_dict().items()}
    (warning,) = load_into(model, state)
    assert "'network'" in warning
    assert same(model, trained)


def test_averaged_weights_on_request(tmp_path: Path, trained: torch.nn.Module):
    average = torch.optim.swa_utils.AveragedModel(trained)
    path = tmp_path / "x.pt"
    torch.save({"model": net().state_dict(), "ema": average.state_dict()}, path)
    model = net(seed=1)
    load_into(model, read_state(path, "torch", "ema"))
    assert same(model, trained)
    torch.save({"model": net().state_dict()}, path)
    with pytest.raises(EvaluationError, match=r"weights='ema', and the checkpoint has none of ema"):
        read_state(path, "torch", "ema")


def test_a_compiled_model_takes_plain_weights(trained: torch.nn.Module):
    class Compiled(torch.nn.Module):
        """The names `torch.compile` gives, without the compiler."""

        def __init__(self) -> None:
            super().__init__()
            self._orig_mod = net()

    model = Compiled()
    load_into(model, trained.state_dict())
    assert same(model._orig_mod, trained)


def test_safetensors(tmp_path: Path, trained: torch.nn.Module):
    path = tmp_path / "x.safetensors"
    state = {**trained.state_dict(), "empty": torch.empty(0), "half": torch.ones(3).bfloat16()}
    save_file(state, path, metadata={"format": "pt"})
    found = read_state(path, "safetensors", "model")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert found["half"].dtype == torch.bfloat16


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_sharded_folder(tmp_path: Path, trained: torch.nn.Module, suffix: str):
    names = list(trained.state_dict())
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    shards = {
        f"{stem}-1.{suffix}": names[:1],
        f"{stem}-2.{suffix}": names[1:],
    }
    for shard, held in shards.items():
        part = {name: trained.state_dict()[name] for name in held}
        if suffix == "safetensors":
            save_file(part, tmp_path / shard)
        else:
            torch.save(part, tmp_path / shard)
    weight_map = {name: shard for shard, held in shards.items() for name in held}
    (tmp_path / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    model = net()
    load_into(model, read_state(tmp_path, "hf", "model"))
    assert same(model, trained)


@pytest.mark.parametrize("wrap", [True, False])
def test_a_distributed_checkpoint(tmp_path: Path, trained: torch.nn.Module, wrap: bool):
    state = {"model": trained.state_dict(), "step": 3} if wrap else trained.state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=tmp_path / "d", no_dist=True)
    model = net()
    load_into(model, read_state(tmp_path / "d", "dcp", "model"))
    assert same(model, trained)


def test_what_is_not_a_tensor_is_never_executed(tmp_path: Path):
    target = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {target}",)

    path = tmp_path / "x.pt"
    torch.save({"model": net().state_dict(), "trap": Trap()}, path)
    with pytest.raises(EvaluationError, match=r"never executed here .*Save model.state_dict\(\)"):
        read_state(path, "torch", "model")
    assert not target.exists()


class Sprung:
    """A class whose making would show."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def __setstate__(self, state: object) -> None:
        type(self).made += 1


def test_objects_beside_the_weights_are_neither_imported_nor_made(
    tmp_path: Path, trained: torch.nn.Module
):
    """Savers add arguments, paths and configurations: the weights are read all the same."""
    path = tmp_path / "x.pt"
    more = {"args": argparse.Namespace(lr=1), "where": tmp_path, "config": Sprung()}
    torch.save({"model": trained.state_dict(), **more}, path)
    Sprung.made = 0
    model = net()
    load_into(model, read_state(path, "torch", "model"))
    assert same(model, trained)
    assert Sprung.made == 0


def test_a_function_in_a_pickle_is_not_called(tmp_path: Path):
    target = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return exec, (f"open({str(target)!r}, 'w')",)

    path = tmp_path / "x.pt"
    torch.save({"model": net().state_dict(), "trap": Trap()}, path)
    with contextlib.suppress(EvaluationError):
        read_state(path, "torch", "model")
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"a": 1, "b": "x"}, "no state dict found in the checkpoint; it has a, b"),
        ([1, 2], "holds a list, not a state dict"),
    ],
)
def test_no_weights_in_it(tmp_path: Path, content: object, expected: str):
    path = tmp_path / "x.pt"
    torch.save(content, path)
    with pytest.raises(EvaluationError, match=expected):
        read_state(path, "torch", "model")


def test_a_misfit_leaves_the_model_as_it_was(trained: torch.nn.Module):
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = dict(trained.state_dict())
    del state["2.bias"]
    with pytest.raises(EvaluationError, match=r"missing: 2\.bias"):
        load_into(model, state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_long_list_of_keys_is_cut():
    model = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(20)))
    with pytest.raises(EvaluationError, match="and 35 more"):
        load_into(model, {})


def test_damage_is_found_by_checksum(tmp_path: Path):
    path = tmp_path / "x.pt"
    torch.save({"w": torch.arange(1000.0)}, path)
    verify_checksums(path)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)
    with pytest.raises(DamagedLoad, match="does not match its checksum"):
        verify_checksums(path)
