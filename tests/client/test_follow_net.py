"""What `run.follow()` records of a net, against the same computed in the loop by hand."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import labbook
from labbook.client.follow import follow
from labbook.client.sampling import Sampling
from labbook.errors import MisuseError


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Linear(4 * 36, 6)
        self.head = nn.Linear(6, 3)
        self.head.bias.requires_grad_(False)

    def forward(self, x):
        h = self.relu(self.conv(x)).flatten(1)
        return self.head(F.relu(self.second(h)))


@pytest.fixture
def begin(start):
    return lambda **options: start(dirty="allow", **options)


def batch(n=5):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, 8, 8, generator=generator)


def value(run, step, statistic, tensor):
    table = labbook.open(run.paths.root.parent.parent).run(run.id).model()
    found = [
        row["value"]
        for row in table.to_pylist()
        if (row["step"], row["statistic"], row["tensor"]) == (step, statistic, tensor)
    ]
    assert len(found) == 1, (step, statistic, tensor, len(found))
    return found[0]


def tensors(run, statistic):
    table = labbook.open(run.paths.root.parent.parent).run(run.id).model().to_pylist()
    return {row["tensor"] for row in table if row["statistic"] == statistic}


def steps(run):
    table = labbook.open(run.paths.root.parent.parent).run(run.id).model()
    return sorted(set(table.column("step").to_pylist()))


def events(run, kind):
    table = labbook.open(run.paths.root.parent.parent).run(run.id).events().to_pylist()
    return [row for row in table if row["kind"] == kind]


def step_of(model, optimizer, x, **kwargs):
    loss = model(x).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step(**kwargs)
    return loss


def test_values_are_those_computed_by_hand(begin):
    torch.manual_seed(0)
    model = Net()
    model.second.weight.data[:3] = 0
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    run = begin()
    run.follow(model, optimizer, every=2)
    for step in range(5):
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        loss = step_of(model, optimizer, batch())
        run.log(loss=loss, step=10 + step)
        if step == 2:
            update = {n: (p.detach() - before[n]).norm() for n, p in model.named_parameters()}
            gradient = {n: p.grad.norm() for n, p in model.named_parameters() if p.grad is not None}
            weight = {n: w.norm() for n, w in before.items()}
    run.finish()
    assert run.faults == {}
    assert steps(run) == [10, 12, 14]
    for name, norm in gradient.items():
        close(value(run, 12, "gradient_norm", name), norm)
        close(value(run, 12, "update_norm", name), update[name])
        close(value(run, 12, "weight_norm", name), weight[name])
        close(value(run, 12, "update_ratio", name), update[name] / weight[name])
    total = torch.stack(list(gradient.values())).norm()
    close(value(run, 12, "gradient_norm", "(model)"), total)
    assert value(run, 10, "zeros", "second.weight") == 0.5
    assert value(run, 12, "weight_nonfinite", "conv.weight") == 0
    assert value(run, 12, "learning_rate", "optimizer.group0") == 0.1
    assert value(run, 12, "training", "(model)") == 1
    assert value(run, 12, "batch_size", "(model)") == 5


def close(found, expected):
    assert found == pytest.approx(float(torch.as_tensor(expected).detach()), rel=1e-5)


def test_what_is_frozen_is_null_and_not_zero(begin):
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = begin()
    run.follow(model, optimizer)
    step_of(model, optimizer, batch())
    run.finish()
    for statistic in ("gradient_norm", "update_norm", "update_ratio", "gradient_nonfinite"):
        assert value(run, 0, statistic, "head.bias") is None
    assert value(run, 0, "weight_norm", "head.bias") > 0


def test_each_tensor_that_flows_is_measured_once(begin):
    torch.manual_seed(0)
    model = Net()
    model.conv.bias.data[1] = -1e3  # one of four channels never fires
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    run = begin()
    run.follow(model, optimizer)
    step_of(model, optimizer, batch())
    run.finish()
    # the flattened ReLU is the ReLU's output; the functional one is only seen where it goes in
    expected = {"(input)", "conv", "relu", "second", "head(input)", "head"}
    assert tensors(run, "activation_mean") == expected
    x = batch()
    relu = F.relu(model.conv(x))
    close(value(run, 0, "activation_mean", "conv"), model.conv(x).mean())
    close(value(run, 0, "activation_mean", "relu"), relu.mean())
    close(value(run, 0, "activation_sd", "relu"), relu.std(correction=0))
    close(value(run, 0, "activation_zeros", "relu"), (relu == 0).float().mean())
    assert value(run, 0, "activation_dead", "relu") == 0.25
    assert value(run, 0, "activation_dead", "conv") is None
    hidden = F.relu(model.second(relu.flatten(1)))
    dead = (hidden == 0).all(0).float().mean()
    assert value(run, 0, "activation_dead", "head(input)") == pytest.approx(float(dead.detach()))


def test_the_first_module_that_is_not_finite_is_named(begin, capsys):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.three(torch.log(-self.two(self.one(x)).abs()))

    model = Broken()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = begin()
    run.follow(model, optimizer)
    for step in range(3):
        run.log(loss=step_of(model, optimizer, torch.ones(2, 4)), step=step)
    run.finish()
    (event,) = events(run, "nonfinite")
    assert event["step"] == 0
    assert event["text"] == "values that are not finite, first in what three was given: 8 values"
    assert json.loads(event["fields"]) == {"where": "input", "tensor": "three(input)", "count": 8}
    assert "step 0: values that are not finite, first in what three was" in capsys.readouterr().err


def test_a_mask_of_minus_infinities_is_no_fault(begin):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = nn.Linear(4, 4)
            self.hide = Hide()

        def forward(self, x):
            return self.hide(self.score(x)).softmax(-1)

    class Hide(nn.Module):
        def forward(self, x):
            return x.masked_fill(torch.eye(4, dtype=torch.bool), -math.inf)

    model = Masked()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = begin()
    run.follow(model, optimizer)
    step_of(model, optimizer, torch.randn(4, 4))
    run.finish()
    assert value(run, 0, "activation_nonfinite", "hide") == 4
    assert events(run, "nonfinite") == []


def test_gradients_that_were_not_cleared_are_seen(begin):
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    run = begin()
    run.follow(model, optimizer, every=1)
    for step in range(3):
        model(batch()).square().mean().backward()
        model(batch()).square().mean().backward()
        optimizer.step()
        if step == 1:
            optimizer.zero_grad()
        run.log(loss=0.0, step=step)
    run.finish()
    assert value(run, 1, "stale_gradient_norm", "optimizer") > 0
    assert value(run, 2, "stale_gradient_norm", "optimizer") == 0
    assert value(run, 2, "backward_passes", "optimizer") == 2


def test_several_optimizers_and_groups_added_later(begin):
    model = Net()
    one = torch.optim.SGD(model.conv.parameters(), 0.1)
    two = torch.optim.SGD(model.second.parameters(), 0.2)
    run = begin()
    run.follow(model, [one, two], every=1)
    for step in range(3):
        loss = model(batch()).square().mean()
        model.zero_grad()
        loss.backward()
        one.step()
        two.step()
        if step == 0:
            two.add_param_group({"params": model.head.parameters(), "lr": 0.3})
        run.log(loss=loss, step=step)
    run.finish()
    assert steps(run) == [0, 1, 2]
    assert value(run, 1, "learning_rate", "optimizer.group0") == 0.1
    assert value(run, 1, "learning_rate", "optimizer2.group1") == 0.3
    assert value(run, 0, "update_norm", "head.weight") is None
    for name in ("conv.weight", "second.weight", "head.weight"):
        assert value(run, 2, "update_norm", name) > 0
        assert value(run, 2, "gradient_norm", name) > 0


def test_an_optimizer_that_nobody_named_is_noticed(begin):
    model, other = Net(), Net()
    run = begin()
    run.follow(model)
    for net in (other, model):
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        step_of(net, optimizer, batch())
    run.finish()
    assert steps(run) == [0]
    assert value(run, 0, "update_norm", "conv.weight") > 0


def test_scaled_gradients_are_recorded_unscaled(begin):
    torch.manual_seed(0)
    model = Net()
    model(batch()).square().mean().backward()
    expected = model.conv.weight.grad.norm()
    model.zero_grad()
    optimizer = torch.optim.SGD(model.parameters(), 0.0, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    run = begin()
    run.follow(model, optimizer, every=1)
    scaler.scale(model(batch()).square().mean()).backward()
    scaler.step(optimizer)
    scaler.update()
    run.finish()
    close(value(run, 0, "gradient_norm", "conv.weight"), expected)


def test_lazy_shared_and_meta_parameters(begin):
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 4))
    model[3].weight = model[2].weight
    run = begin()
    run.follow(model)
    reader = labbook.open(run.paths.root.parent.parent).run(run.id)
    assert reader.nets()[""]["parameters"] is None
    model(torch.randn(2, 7))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    step_of(model, optimizer, torch.randn(2, 7))
    run.follow(nn.Linear(2, 2, device="meta"), name="meta")
    run.finish()
    reader.refresh()
    nets = reader.nets()
    assert nets[""]["parameters"] == 4 * 7 + 4 + 16 + 4 + 4
    assert nets[""]["modules"][-1]["parameters"][0]["same_as"] == "2.weight"
    assert nets["meta"]["parameters"] == 6
    assert "3.weight" not in tensors(run, "weight_norm")
    assert value(run, 0, "update_norm", "0.weight") > 0
    assert run.faults == {}


def test_parts_that_are_called_one_by_one_are_seen_from_the_second_sample_on(begin, monkeypatch):
    # another test in this process may have
    monkeypatch.setattr("labbook.client.follower.has_compiled", lambda: False)

    class Auto(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)

    model = Auto()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = begin()
    run.follow(model, optimizer, every=3)
    for step in range(9):
        loss = model.decoder(model.encoder(torch.ones(3, 4))).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss, step=step)
    run.finish()
    assert tensors(run, "activation_mean") == {"encoder(input)", "encoder", "decoder"}


COMPILED = """
import torch, labbook
from torch import nn

class Net(nn.Sequential):
    def forward(self, x):
        for part in self:
            x = part(x)
        return x

def backend(graph, inputs):
    graphs.append(graph)
    return graph.forward

for how in ("compiled", "module", "before"):
    torch._dynamo.reset()
    graphs = []
    net = Net(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    run = labbook.start({}, gauges=False, output=False, name=how)
    if how == "before":
        run.follow(net, optimizer, every=2)
    model = torch.compile(net, backend=backend, fullgraph=True)
    if how == "module":
        run.follow(net, optimizer, every=2)
    if how == "compiled":
        run.follow(model, optimizer, every=2)
    for step in range(8):
        loss = model(torch.ones(3, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss, step=step)
    run.finish()
    assert len(graphs) == 1, (how, len(graphs))
    assert not run.faults, (how, run.faults)
"""


@pytest.mark.timeout(180)
def test_a_compiled_net_is_not_compiled_again(script):
    process = script.popen(COMPILED)
    _, stderr = process.communicate(timeout=170)
    assert process.returncode == 0, stderr
    book = labbook.open(script.book.root)
    for how, seen in (("compiled", {"(input)", "(output)"}), ("module", set()), ("before", set())):
        run = book.run(how)
        rows = run.model().to_pylist()
        assert {r["tensor"] for r in rows if r["statistic"] == "activation_mean"} == seen
        updated = {r["step"] for r in rows if r["statistic"] == "update_norm" and r["value"]}
        assert updated == {0, 2, 4, 6}
        kinds = run.events().column("kind").to_pylist()
        assert ("activations-not-seen" in kinds) == (seen == set())


def test_a_saved_net_loads_without_labbook(begin, tmp_path):
    model = nn.Sequential(nn.Linear(2, 2))
    run = begin()
    run.follow(model)
    assert model._forward_pre_hooks  # the next step is sampled: the hook is there
    torch.save(model, tmp_path / "model.pt")
    code = (
        "import sys, torch; sys.modules['labbook'] = None\n"
        f"model = torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False)\n"
        "print(tuple(model(torch.ones(1, 2)).shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 2)"


def test_a_fault_of_ours_costs_the_sample_and_never_the_training(begin, monkeypatch):
    from labbook.client import parameters

    monkeypatch.setattr(parameters, "weights", lambda *given, **how: 1 / 0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = begin()
    run.follow(model, optimizer, every=1)
    for step in range(20):
        run.log(loss=step_of(model, optimizer, batch()), step=step)
    assert run.faults == {"follow": 5}
    assert run._followers[""].is_closed
    run.finish()


def test_histograms_count_all_values(begin):
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = begin()
    run.follow(model, optimizer, histograms=True)
    weight = model.second.weight.detach().clone()
    step_of(model, optimizer, batch())
    run.finish()
    reader = labbook.open(run.paths.root.parent.parent).run(run.id)
    (row,) = reader.histograms("second.weight").to_pylist()
    counts, edges = np.histogram(weight.numpy(), 32)
    close(row["low"], edges[0])
    close(row["high"], edges[-1])
    assert sum(row["counts"]) == weight.numel()
    assert np.abs(np.array(row["counts"]) - counts).sum() <= 2  # values on an edge
    assert not any("histogram" in s for s in reader.model().column("statistic").to_pylist())


def test_the_net_is_collected_though_it_is_followed(begin):
    import gc
    import weakref

    model = Net()
    run = begin()
    run.follow(model)
    seen = weakref.ref(model)
    del model
    gc.collect()
    assert seen() is None
    run.finish()


def refused(run, *given, **options):
    with pytest.raises(MisuseError) as error:
        run.follow(*given, **options)
    return str(error.value)


def test_what_is_no_net_or_no_optimizer_is_refused(begin):
    run = begin()
    model = Net()
    text = refused(run, "net")
    assert text == "run.follow() wants a torch.nn.Module, got str: run.follow(model, optimizer)"
    assert "wants a torch.optim.Optimizer or a list of them, got float" in refused(run, model, 0.1)
    assert "follow(every=) must be at least 1, got 0" in refused(run, model, every=0)
    assert "must be a whole number of steps, got 0.5" in refused(run, model, every=0.5)
    other = torch.optim.SGD(Net().parameters(), 0.1)
    text = refused(run, model, other)
    assert text.startswith("run.follow(): the SGD holds none of the parameters of the Net")
    assert "SGD(model.parameters(), …)" in text
    run.follow(model)
    kept = Net()
    assert 'give this one a name: run.follow(model, optimizer, name="…")' in refused(run, kept)
    run.follow(model)  # the same again is no mistake
    run.follow(kept, name="second")


def test_parameters_in_no_optimizer_are_told(begin, capsys):
    model = Net()
    run = begin()
    run.follow(model, torch.optim.SGD(model.conv.parameters(), 0.1))
    told = "3 of 5 trainable parameter tensors are in no optimizer given to follow()"
    assert told in capsys.readouterr().err
    run.finish()
    (event,) = events(run, "parameters-without-optimizer")
    assert "second.weight, second.bias, head.weight" in event["text"]


def test_only_the_first_rank_records(journal):
    followers = {}
    made = follow(
        journal.writer,
        Net(),
        followers=followers,
        records=False,
        fact=pytest.fail,
        step_now=lambda: 0,
    )
    assert made is None
    assert followers == {}


def test_off_hangs_nothing_in():
    from labbook.client.off import OffRun

    model = Net()
    OffRun({}).follow(model, None, every=1)
    assert not model._forward_pre_hooks


def test_the_default_schedule_is_log_spaced_and_then_each_hundredth():
    schedule, found = Sampling(), []
    for step in range(401):
        if step == schedule.due:
            found.append(step)
            schedule.sampled(step, 0.001, step * 0.01)
    assert found == [0, 1, 2, 5, 10, 20, 50, 100, 200, 300, 400]


def test_the_distance_doubles_until_sampling_takes_one_percent():
    schedule = Sampling()
    for step in range(3000):
        if step == schedule.due:  # a sample costs six steps
            schedule.sampled(step, 0.006, step * 0.001)
    assert schedule.every == 800
    given = Sampling(3)
    for step in range(3000):
        if step == given.due:
            given.sampled(step, 0.006, step * 0.001)
    assert given.every == 3
