"""What the probes look at besides the planted mistakes, and what they must not take for one."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.parquet as pq
import torch

from tests.watch.conftest import Here, Lab, net
from tests.watch.test_planted import BATCHES, HEAD, PLAIN, warned

Make = Callable[..., Here]

CONV = """
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Dropout(0.2))
        self.head = torch.nn.Linear(4, 2)
        self.register_buffer("cache", torch.zeros(1), persistent=False)

    def forward(self, x):
        self.cache += 1  # its own business: it is never saved
        return self.head(self.body(x))
"""

WORDS = """
def examples():
    make = torch.Generator().manual_seed(0)
    return [(torch.randint(1, 9, (length,), generator=make), length % 2)
            for length in [3, 3, 4, 5, 9, 2, 7, 3, 8, 6, 4]]

@labbook.evaluation(batch_size=8)
class Validation:
    def setup(self, context):
        return Attention()

    def data(self, context):
        return examples()

    def collate(self, items):
        x = torch.nn.utils.rnn.pad_sequence([x for x, _ in items], batch_first=True)
        return x, torch.tensor([y for _, y in items])

    def step(self, context, batch):
        x, y = batch
        out = context.model(x)
        return {"loss": F.cross_entropy(out, y, reduction="none")}

class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(9, 8)
        self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x):
        mask = x == 0
        h = self.layer(self.embed(x), MASK)
        kept = (~mask)[..., None]
        return self.head((h * kept).sum(1) / kept.sum(1))
"""


def state_of(text: str, name: str) -> dict[str, torch.Tensor]:
    """Fresh weights of a class in an evaluation file."""
    space: dict = {}
    torch.manual_seed(3)
    exec(HEAD + text.replace("@labbook.evaluation(batch_size=8)", ""), space)
    return space[name]().state_dict()


# -- clean programs -----------------------------------------------------------------------------


def test_a_convolution_net_with_a_cache_and_a_criterion_is_clean(lab: Lab, here: Make):
    text = (
        HEAD
        + CONV
        + """
@labbook.evaluation(batch_size=16)
class Validation:
    def setup(self, context):
        self.criterion = torch.nn.CrossEntropyLoss(reduction="none")  # in training mode for ever
        return Net()

    def data(self, context):
        make = torch.Generator().manual_seed(7)
        return TensorDataset(torch.randn(50, 1, 6, 6, generator=make), torch.arange(50) % 2)

    def step(self, context, batch):
        x, y = batch
        out = context.model(x)
        return {"loss": self.criterion(out, y), "correct": (out.argmax(1) == y).float()}
"""
    )
    meta, found = warned(lab, here(text), state_of(CONV, "Net"))
    assert found == {}
    assert meta["warnings"] == []


def test_padding_that_is_masked_is_clean_and_padding_that_leaks_is_not(lab: Lab, here: Make):
    clean = HEAD + WORDS.replace("MASK", "src_key_padding_mask=mask")
    state = state_of(WORDS.replace("MASK", "None"), "Attention")
    run = lab.run()
    run.save(1, state)
    here(clean).evaluate()
    assert run.metas()[1]["probes"]["found"] == []


def test_padding_that_leaks(lab: Lab, here: Make):
    state = state_of(WORDS.replace("MASK", "None"), "Attention")
    _, found = warned(lab, here(HEAD + WORDS.replace("MASK", "None")), state)
    assert list(found) == ["batch"]
    assert "padding that is not masked" in found["batch"]["text"]


def test_a_data_loader_of_its_own_is_clean(lab: Lab, here: Make):
    text = BATCHES.replace(
        "BATCHES",
        """def batches(self, context):
        context.n_examples = 103
        loader = torch.utils.data.DataLoader(data(), batch_size=32)
        for n, batch in enumerate(loader):
            yield range(32 * n, 32 * n + len(batch[0])), batch""",
    )
    meta, found = warned(lab, here(text))
    assert found == {}
    assert meta["probes"]["not_run"] == {}


def test_half_precision_is_given_its_tolerance(lab: Lab, here: Make):
    text = PLAIN.replace(
        "out = context.model(x)",
        "with torch.autocast('cpu', dtype=torch.bfloat16):\n"
        "            out = context.model(x)\n"
        "        out = out.float()",
    )
    meta, found = warned(lab, here(text))
    assert found == {}
    assert meta["settings"]["precision"]["autocast"] == "bfloat16"
    assert meta["settings"]["precision"]["parameters"] == ["float32"]
    assert meta["probes"]["tolerance"] == 0.05


COMPILED = (
    HEAD
    + """
from pathlib import Path

@labbook.evaluation(batch_size=32)
class Validation:
    def setup(self, context):
        self.sizes = []
        return torch.compile(torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2)), backend="eager")

    def data(self, context):
        return data()

    def step(self, context, batch):
        x, y = batch
        self.sizes.append(len(x))
        Path("sizes").write_text(str(self.sizes))
        return {"loss": F.cross_entropy(context.model(x), y, reduction="none")}
"""
)


def test_a_compiled_model_sees_no_new_shape_and_is_probed_all_the_same(lab: Lab, here: Make):
    meta, found = warned(lab, here(COMPILED))
    assert found == {}
    assert meta["probes"]["not_run"] == {}
    assert (lab.root / "sizes").read_text() == "[32, 32, 32, 7, 32, 32, 32, 32]"
    assert meta["settings"]["precision"]["autocast"] == "unknown"


# -- random by design ---------------------------------------------------------------------------

SAMPLING = PLAIN.replace(
    "out = context.model(x)", "out = context.model(x) + torch.randn(len(x), 2)"
)


def test_sampling_is_named_and_may_be_allowed(lab: Lab, here: Make):
    _, found = warned(lab, here(SAMPLING))
    assert list(found) == ["random"]
    assert "sampling needs allow='random'" in found["random"]["text"]


def test_sampling_that_is_meant(lab: Lab, here: Make):
    allowed = SAMPLING.replace("batch_size=32", "batch_size=32, allow='random'")
    meta, found = warned(lab, here(allowed))
    assert found == {}
    assert meta["warnings"] == []
    assert meta["probes"]["not_run"]["batch"] == "the rows are random"


def test_probes_may_be_turned_off(lab: Lab, here: Make):
    meta, _ = warned(lab, here(SAMPLING.replace("batch_size=32", "batch_size=32, probes=False")))
    assert meta["probes"] is None
    assert meta["warnings"] == []


# -- other mistakes -----------------------------------------------------------------------------


def test_random_numbers_that_no_row_depends_on(lab: Lab, here: Make):
    _, found = warned(lab, here(PLAIN.replace("x, y = batch", "x, y = batch; torch.rand(1)")))
    assert list(found) == ["rng"]
    assert "draws random numbers (torch), though no row depends" in found["rng"]["text"]


def test_a_random_transform_in_the_validation_set(lab: Lab, here: Make):
    noisy = """
class Noisy(torch.utils.data.Dataset):
    def __len__(self):
        return 103

    def __getitem__(self, place):
        x, y = data()[place]
        return x + 0.1 * torch.randn(3), y
"""
    text = PLAIN.replace("\n@labbook", f"{noisy}\n@labbook", 1)
    _, found = warned(lab, here(text.replace("return data()", "return Noisy()")))
    assert list(found) == ["random-data"]
    assert "a random transform in the validation set" in found["random-data"]["text"]


def test_weights_that_the_evaluation_writes(lab: Lab, here: Make):
    text = PLAIN.replace(
        "x, y = batch", "x, y = batch; context.model[0].bias.data.add_(0.0001 * len(x))"
    )
    _, found = warned(lab, here(text))
    assert found["state"]["where"] == "0.bias"
    assert "changed while evaluated: 0.bias" in found["state"]["text"]


def test_a_step_that_writes_into_the_data(lab: Lab, here: Make):
    text = PLAIN.replace("x, y = batch", "x, y = batch; x.div_(255)")
    _, found = warned(lab, here(text))
    assert "step() writes into its batch" in found["data"]["text"]


def test_rows_that_depend_on_their_place(lab: Lab, here: Make):
    text = PLAIN.replace(
        "out = context.model(x)", "out = context.model(x) * (1 + torch.arange(len(x))[:, None])"
    )
    _, found = warned(lab, here(text))
    assert set(found) <= {"batch", "order"}
    assert found


def test_a_function_has_its_flags_and_weights_looked_at(lab: Lab, here: Make):
    text = """
import torch
def setup(context):
    return torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
def evaluate(model, device):
    model.train()
    for start in range(3):
        yield {"mean": model(torch.ones(5, 3) * start).mean(1)}
"""
    run = lab.run()
    run.save(1)
    here(text).evaluate()
    (meta,) = run.metas("evaluate").values()
    assert [each["kind"] for each in meta["probes"]["found"]] == ["training"]
    assert meta["probes"]["not_run"]["batch"] == "the evaluation has a loop of its own"


def test_a_new_worker_makes_an_old_result_again(lab: Lab, here: Make):
    driver = lab.root / "driver"
    driver.write_text("0")
    text = PLAIN.replace(
        "out = context.model(x)", "out = context.model(x) + torch.tensor([read(), 0.0])"
    ).replace(
        "import labbook\n",
        "import labbook\nfrom pathlib import Path\n"
        "def read():\n    return float(Path('driver').read_text())\n",
        1,
    )
    run = lab.run()
    run.save(1)
    here(text).evaluate()
    run.save(2)
    here(text).evaluate()  # a worker of its own, in which nothing is other than it was
    driver.write_text("0.5")
    run.save(3)
    here(text).evaluate()
    found = {step: meta["probes"]["found"] for step, meta in run.metas().items()}
    assert found[1] == found[2] == []
    (drift,) = found[3]
    assert drift["kind"] == "drift"
    assert "step 1 evaluated again gives other rows than those on record: 'loss'" in drift["text"]


# -- what a probe must leave alone --------------------------------------------------------------


def test_the_rows_are_the_same_with_and_without_probes(lab: Lab, here: Make):
    """To the bit, for several checkpoints, of a step that draws random numbers."""
    found = []
    for number, probes in ((1, 1), (2, 0)):
        run = lab.run(number)
        for step in (1, 2, 3):
            run.save(step)
        made = here(SAMPLING.replace("batch_size=32", f"batch_size=32, probes={probes}"))
        made.evaluate()
        found.append({step: pq.read_table(run.paths.result("validation", meta["key"]))
                      for step, meta in run.metas().items()})  # fmt: skip
    assert found[0].keys() == found[1].keys() == {1, 2, 3}
    for step, rows in found[0].items():
        assert rows.equals(found[1][step])


def test_a_probe_that_fails_costs_no_result(lab: Lab, here: Make):
    text = PLAIN.replace("x, y = batch", "x, y = batch; assert len(x) in (32, 7), len(x)")
    meta, found = warned(lab, here(text))
    assert found == {}
    assert meta["probes"]["not_run"] == {"batch": "AssertionError: 16"}


def test_probes_come_first_and_then_now_and_then(lab: Lab, here: Make):
    run = lab.run()
    for step in range(1, 8):
        run.save(step)
    here(PLAIN.replace("batch_size=32", "batch_size=32, probes=3")).evaluate()
    probed = {step for step, meta in run.metas().items() if meta["probes"]}
    assert len(probed) == 3  # of seven: the first, the fourth, the seventh


def test_what_is_found_is_said_by_the_watcher_and_by_show(lab: Lab):
    run = lab.run()
    run.save(1, net(seed=1).state_dict())
    lab.write(SAMPLING)
    done = lab.once()
    assert done.returncode == 0, done.stderr
    assert "step-1.pt: the rows change with the random numbers" in done.stderr
    shown = lab.labbook("show", run.paths.id)
    assert "the rows change with the random numbers" in " ".join(shown.stdout.split())
