"""An observation leaves everything as it was, also when it fails."""

import json
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from labbook.client.chosen import choose
from labbook.client.observe import is_observing, unwrapped
from labbook.client.undisturbed import model_kept


def data(n=12):
    generator = torch.Generator().manual_seed(3)
    return TensorDataset(torch.rand(n, 4, generator=generator), torch.zeros(n, dtype=torch.long))


class Meddler(nn.Module):
    """Changes in its forward pass whatever a forward pass can reach."""

    def __init__(self, fail):
        super().__init__()
        self.frozen = nn.BatchNorm1d(4)
        self.live = nn.Sequential(nn.Dropout(), nn.Linear(4, 2))
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("replaced", torch.zeros(1))
        self.fail = fail
        self.modes = []
        self.handles = []

    def forward(self, x):
        self.modes.append([module.training for module in self.modules()])
        self.grad = torch.is_grad_enabled()
        self.seen.data.add_(1)
        self.replaced = torch.ones(1)
        self.register_buffer("extra", torch.ones(1))
        self.live.register_forward_hook(lambda *call: None)
        self.live[1].weight.requires_grad_(False)
        self.live.train()
        random.random()
        np.random.rand()
        torch.rand(1)
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
        torch.backends.cudnn.deterministic = True
        torch.set_grad_enabled(True)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_default_dtype(torch.float64)
        for device in ("cpu", "cuda"):
            torch.set_autocast_enabled(device, not torch.is_autocast_enabled(device))
            torch.set_autocast_dtype(device, torch.float16)
        if self.fail:
            raise ZeroDivisionError("in the forward pass")
        with torch.autocast("cpu", enabled=False):
            return self.live(self.frozen(x))


def state(model):
    cudnn = torch.backends.cudnn
    return {
        "training": [module.training for module in model.modules()],
        "buffers": {name: value.tolist() for name, value in model.named_buffers()},
        "identity": [id(value) for value in model.buffers()],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
        "grads": [parameter.requires_grad for parameter in model.parameters()],
        "random": random.getstate(),
        "numpy": repr(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
        "cudnn": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic),
        "grad": torch.is_grad_enabled(),
        "cache": torch.is_autocast_cache_enabled(),
        "autocast": [
            (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
            for device in ("cpu", "cuda")
        ],
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "dtype": torch.get_default_dtype(),
        "attributes": sorted(vars(model)),
    }


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_everything_is_put_back(journal, fail, grad):
    model = Meddler(fail)
    model.frozen.eval()
    model.live[1].bias.requires_grad_(False)
    chosen = choose(journal.writer, data(), 6)
    with torch.set_grad_enabled(grad):
        before = state(model)
        if fail:
            with pytest.raises(ZeroDivisionError):
                chosen.observe(model, None, step=0)
        else:
            assert chosen.observe(model, None, step=0)
        assert state(model) == before
    # and the forward pass itself did run in eval mode
    assert model.modes == [[False] * 5]


def test_hooks_can_tell_that_they_are_observed(journal):
    seen = []
    model = nn.Linear(4, 2)
    model.register_forward_hook(lambda *call: seen.append(is_observing()))
    model(torch.rand(2, 4))
    choose(journal.writer, data(), 6).observe(model, None, step=0)
    model(torch.rand(2, 4))
    assert seen == [False, True, False]


def test_the_models_own_eval_is_not_called(journal):
    class Merging(nn.Linear):
        def train(self, mode=True):
            raise AssertionError("a model may merge its weights here")

    choose(journal.writer, data(), 6).observe(Merging(4, 2), None, step=0)


def test_a_backward_pass_still_to_come_works(journal):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    loss = model(data().tensors[0]).sum()
    choose(journal.writer, data(), 6).observe(model, None, step=0)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_loss_with_state_is_kept_too(journal):
    class Centre(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, output, target):
            assert not self.training
            self.calls += 1
            return output.pow(2).mean(1)

    loss = Centre()
    choose(journal.writer, data(), 6).observe(nn.Identity(), loss, step=0)
    assert loss.training
    assert loss.calls.item() == 0


def test_a_scripted_model_is_kept(journal):
    model = torch.jit.trace(nn.Sequential(nn.Dropout(), nn.Linear(4, 2)), torch.rand(2, 4))
    assert model.training
    with model_kept(model):
        assert not model.training
    assert model.training


test_a_scripted_model_is_kept = pytest.mark.filterwarnings("ignore")(test_a_scripted_model_is_kept)


def test_wrappers_are_taken_off():
    inner = nn.Linear(4, 2)
    assert unwrapped(nn.DataParallel(inner)) is inner
    assert unwrapped(torch.compile(inner, backend="eager")) is inner

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = inner

    own = Own()  # a model's own part that happens to have this name is no wrapper
    assert unwrapped(own) is own


def test_compiled_parts_are_not_compiled_once_more(journal):
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    model = nn.Sequential(torch.compile(nn.Linear(4, 4), backend=backend), nn.Dropout())
    x = data().tensors[0]
    model(x)
    assert len(compiled) == 1
    choose(journal.writer, data(), 6).observe(model, None, step=0)
    model(x)
    assert len(compiled) == 1
    torch._dynamo.reset()


SHARDED = """
    import json, sys
    import torch, torch.distributed as dist, torch.nn as nn
    from pathlib import Path
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from labbook.client.chosen import choose
    from labbook.errors import MisuseError

    class Writer:
        def __init__(self):
            self.steps = []
        def array(self, header, parts, step):
            if header["table"] == "chosen":
                self.steps.append(step)
        def event(self, *given, **fields):
            raise AssertionError(given)

    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    entered = []
    model[0].register_forward_pre_hook(lambda *call: entered.append(call))
    writer = Writer()
    chosen = choose(writer, (torch.rand(6, 4), torch.zeros(6, dtype=torch.long)), 6)
    refused = ""
    try:
        chosen.observe(model, None, step=0)
    except MisuseError as error:
        refused = str(error)
    early = len(entered)
    chosen.observe(model, None, step=1, every_rank=True)
    print(json.dumps([refused, early, len(entered), writer.steps, model.training]))
    dist.destroy_process_group()
"""


PARALLEL = """
    import json, sys
    import torch, torch.distributed as dist, torch.nn as nn, torch.nn.functional as F
    from pathlib import Path
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils.data import DataLoader, TensorDataset
    from labbook.client.chosen import choose

    class Writer:
        def __init__(self):
            self.steps = []
        def array(self, header, parts, step):
            if header["table"] == "chosen":
                self.steps.append(step)

    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    generator = torch.Generator().manual_seed(3)
    data = TensorDataset(torch.rand(64, 4, generator=generator), torch.arange(64) % 2)
    writer = Writer()
    chosen = choose(writer, data, 16)

    def train(observers):
        torch.manual_seed(rank)
        inner = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
        model = DistributedDataParallel(inner)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        losses = []
        for epoch in range(2):
            for step, (x, y) in enumerate(DataLoader(data, 16, shuffle=True)):
                loss = F.cross_entropy(model(x), y)
                if rank in observers:
                    assert chosen.observe(model, F.cross_entropy, epoch * 4 + step)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return losses, [value.tolist() for value in model.state_dict().values()]

    plain = train(())
    print(json.dumps([train((0,)) == plain, train((0, 1)) == plain, writer.steps]))
    dist.destroy_process_group()
"""


def ranks_of(code, tmp_path):
    """What two real processes print, one rank each."""
    (tmp_path / "rank.py").write_text(textwrap.dedent(code))
    ranks = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "rank.py"), str(rank), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        outputs = [process.communicate(timeout=110) for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    for process, (_, err) in zip(ranks, outputs, strict=True):
        assert process.returncode == 0, err
    return [json.loads(out) for out, _ in outputs]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_data_parallel_model_is_observed_on_one_rank_or_on_all(tmp_path):
    # a forward pass through the wrapper on one rank alone would hang
    for rank, (alone, together, steps) in enumerate(ranks_of(PARALLEL, tmp_path)):
        assert alone
        assert together
        assert steps == [*range(8)] * (2 - rank)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_sharded_model_is_refused_unless_every_rank_is_here(tmp_path):
    # one rank alone would hang in its first all-gather
    for rank, found in enumerate(ranks_of(SHARDED, tmp_path)):
        refused, early, entered, steps, training = found
        assert "call chosen.observe(…, every_rank=True) on every rank" in refused
        assert (early, entered) == (0, 1)
        assert steps == ([1] if rank == 0 else [])
        assert training
