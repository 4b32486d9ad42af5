"""Rules on the data as delivered: each finds its fault, and none alarms on clean programs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

import labbook
from tests.checks.programs_data import (
    CLEAN,
    cnn,
    gen,
    loaders,
    made,
    mlp,
    pictures,
    table,
)


def alarms(subject, **how):
    report = labbook.check(subject, **{"only": ["data"], **how})
    assert not report.crashed, report.crashed
    return {f.rule: f for f in report.causes if f.status != "note"}


def notes(subject):
    report = labbook.check(subject, only=["data"])
    assert not report.crashed, report.crashed
    return {f.rule: f for f in report.findings if f.status == "note"}


def skipped(subject, rule):
    report = labbook.check(subject, only=[rule])
    [one] = report.skipped
    return one.reason


def ce(train=None, val=None, model=None, **how):
    train, val = train or table(), val or table(96, seed=1)
    return made(model or mlp(), F.cross_entropy, **loaders(train, val, **how))


@pytest.mark.parametrize("name", CLEAN)
def test_no_clean_program_is_alarmed(name):
    assert alarms(CLEAN[name]()) == {}


def only(subject, rule, status):
    """The rule finds it, and nothing else stands beside it."""
    found = alarms(subject)
    assert list(found) == [rule], {name: f.evidence for name, f in found.items()}
    assert found[rule].status == status
    assert found[rule].where
    return found[rule]


# ---------------------------------------------------------------------- not finite


def test_nan_in_inputs_names_the_examples():
    x, y = table()
    x[[5, 77], 3] = torch.nan
    found = only(ce((x, y)), "data/nonfinite", "fail")
    assert "5" in found.evidence
    assert "77" in found.evidence
    assert "2 of 256" in found.evidence


def test_infinity_in_targets():
    x, _ = table()
    y = x[:, :1].clone()
    y[9] = torch.inf
    subject = made(mlp(12, 1), F.mse_loss, loader=DataLoader(TensorDataset(x, y), 32))
    found = alarms(subject)["data/nonfinite"]
    assert "targets of 1 of 256 examples of loader: example 9" in found.evidence


def test_nan_in_validation_only():
    x, y = table(96, seed=1)
    x[3] = torch.nan
    assert "of val: example 3" in only(ce(val=(x, y)), "data/nonfinite", "fail").evidence


def test_infinity_whose_loss_is_finite_but_not_the_gradient():
    x, y = table()
    x[4, 0] = torch.inf

    def model():
        return nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))

    assert alarms(ce((x, y), model=model))["data/nonfinite"].status == "fail"


def test_half_precision_near_its_limit_is_a_note():
    x, y = table()
    subject = made(
        lambda: nn.Sequential(_Float(), *mlp()()),
        F.cross_entropy,
        loader=DataLoader(TensorDataset((x * 12000).half(), y), 32, shuffle=True),
    )
    assert "data/half-overflow" in notes(subject)


class _Float(nn.Module):
    def forward(self, x):
        return x.float()


# ---------------------------------------------------------------------- order


def sorted_by_class(n=256):
    x, y = table(n)
    order = y.argsort(stable=True)
    return x[order], y[order]


def test_sorted_data_without_shuffle():
    subject = ce() | {"loader": DataLoader(TensorDataset(*sorted_by_class()), 16)}
    found = only(subject, "data/unshuffled", "fail")
    assert "shuffle=True" in found.fix


def test_sorted_data_with_shuffle_passes():
    assert alarms(ce(sorted_by_class())) == {}


def test_a_shuffle_buffer_that_is_too_small():
    class Buffered:
        def __iter__(self):
            x, y = sorted_by_class(512)
            order = torch.cat([i[torch.randperm(len(i))] for i in torch.arange(512).split(64)])
            yield from zip(x[order].split(16), y[order].split(16), strict=True)

    assert "data/unshuffled" in alarms(ce() | {"loader": Buffered()})


def test_sorted_inside_each_batch_is_harmless():
    def collate(items):
        items = sorted(items, key=lambda item: int(item[1]))
        return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items])

    assert alarms(ce(collate_fn=collate)) == {}


def test_classes_in_turn_are_harmless():
    x, y = sorted_by_class(243)
    order = torch.arange(243).reshape(3, 81).T.reshape(-1)
    subject = ce() | {"loader": [(x[i], y[i]) for i in order.split(27)]}
    assert alarms(subject) == {}


def test_pairs_for_a_contrastive_loss_are_a_note():
    x, y = sorted_by_class()
    order = torch.randperm(64, generator=gen())
    index = (order[:, None] * 4 + torch.arange(4)).reshape(-1)

    def loss(out, y):
        out = F.normalize(out, dim=1)
        same = y[:, None] == y[None]
        return ((out @ out.T - same.float()) ** 2).mean()

    subject = made(mlp(), loss, loader=[(x[i], y[i]) for i in index.split(8)])
    assert "data/unshuffled" not in alarms(subject)


def test_the_same_order_in_each_epoch():
    subject = ce() | {"loader": DataLoader(TensorDataset(*table()), 32)}
    found = only(subject, "data/same-order", "warn")
    assert "SequentialSampler" in found.evidence


def test_one_batch_has_no_order():
    subject = ce() | {"loader": [table()]}
    assert "one batch" in skipped(subject, "data/same-order")
    assert "one batch" in skipped(subject, "data/unshuffled")


# ---------------------------------------------------------------------- leaks


def test_validation_on_the_training_set():
    subject = ce()
    only(subject | {"val": subject["loader"]}, "data/val-is-train", "fail")
    dataset = subject["loader"].dataset
    only(subject | {"val": DataLoader(dataset, 64)}, "data/val-is-train", "fail")
    copied = TensorDataset(*(t.clone() for t in dataset.tensors))
    only(subject | {"val": DataLoader(copied, 64)}, "data/val-is-train", "fail")


def test_overlapping_ranges_of_one_dataset():
    data = TensorDataset(*table(300))
    subject = ce() | {
        "loader": DataLoader(Subset(data, range(200)), 32, shuffle=True),
        "val": DataLoader(Subset(data, range(180, 300)), 32),
    }
    found = only(subject, "data/train-val-duplicates", "fail")
    assert "20 of 120" in found.evidence
    assert "by their index" in found.evidence
    apart = subject | {"val": DataLoader(Subset(data, range(200, 300)), 32)}
    assert alarms(apart) == {}


def test_oversampled_before_the_split():
    x, y = table(100)
    x, y = x.repeat(4, 1), y.repeat(4)
    order = torch.randperm(400, generator=gen())
    x, y = x[order], y[order]
    found = alarms(ce((x[:300], y[:300]), (x[300:], y[300:])))
    assert set(found) & {"data/train-val-duplicates", "data/val-is-train"}


def test_one_example_in_both_is_a_note():
    (x, y), (v, w) = table(), table(96, seed=1)
    v[0] = x[0]
    subject = ce((x, y), (v, w))
    assert alarms(subject) == {}
    assert "data/train-val-duplicates" in notes(subject)


def test_a_dataset_that_repeats_examples():
    class Repeats(Dataset):
        def __init__(self):
            self.x, self.y = table()

        def __len__(self):
            return 256

        def __getitem__(self, i):
            return self.x[i // 64], self.y[i]

    subject = ce() | {"loader": DataLoader(Repeats(), 32, shuffle=True)}
    found = only(subject, "data/dup-in-batch", "warn")
    assert "Repeats" in found.where
    assert "test_data_rules.py" in found.where


def test_few_values_say_nothing_about_twins():
    assert "so few values" in skipped(CLEAN["xor"](), "data/dup-in-batch")


# ---------------------------------------------------------------------- targets


def test_one_class_only():
    x, y = table()
    found = only(ce((x, torch.zeros_like(y))), "data/labels-constant", "fail")
    assert "all 256 targets are 0" in found.evidence


def test_one_class_that_the_loss_never_looks_at():
    assert "does not depend" in skipped(CLEAN["dummy_target"](), "data/labels-constant")


def test_masks_that_hold_nothing():
    x, _ = pictures(64)
    y = torch.full((64, 12, 12), 255)
    y[::2, 3:5] = 1

    def model():
        return nn.Conv2d(1, 2, 1)

    loss = nn.CrossEntropyLoss(ignore_index=255)
    subject = made(model, loss, loader=DataLoader(TensorDataset(x, y), 16, shuffle=True))
    found = only(subject, "data/empty-target", "warn")
    assert "32 of 64" in found.evidence
    y[:] = 255
    assert alarms(subject)["data/empty-target"].status == "fail"


def test_minus_one_in_a_byte():
    x, y = table()
    y = (y - 1).to(torch.uint8)
    subject = made(
        mlp(), lambda o, t: F.cross_entropy(o, t.long()), **loaders((x, y), (x[:64], y[:64]))
    )
    found = alarms(subject, skip=["data/val-is-train", "data/train-val-duplicates"])
    assert found["data/label-wrap"].status == "fail"
    assert "255" in found["data/label-wrap"].evidence


def test_a_byte_cannot_hold_300_classes():
    x = torch.randn(600, 12, generator=gen())
    y = (torch.arange(600) % 300).to(torch.uint8)
    loss = lambda o, t: F.cross_entropy(o, t.long())  # noqa: E731
    subject = made(mlp(12, 300), loss, loader=DataLoader(TensorDataset(x, y), 60, shuffle=True))
    assert "data/label-wrap" in alarms(subject)
    wide = made(
        mlp(12, 300),
        F.cross_entropy,
        loader=DataLoader(TensorDataset(x, torch.arange(600) % 300), 60, shuffle=True),
    )
    assert "data/label-wrap" not in alarms(wide)


# ---------------------------------------------------------------------- scale and casts


def test_pictures_from_0_to_255():
    (x, y), (v, w) = pictures(), pictures(96, 1)

    def model():  # its first layer is a convolution
        return cnn()()

    only(ce((x * 255, y), (v * 255, w), model), "data/not-standardized", "warn")


def test_pictures_divided_twice():
    (x, y), (v, w) = pictures(), pictures(96, 1)
    only(ce((x / 255, y), (v / 255, w), cnn()), "data/double-cast", "warn")


def test_validation_without_the_transform():
    (x, y), (v, w) = pictures(), pictures(96, 1)
    only(ce(((x - x.mean()) / x.std(), y), (v, w), cnn()), "data/train-val-shift", "warn")
    only(ce((x, y), (v * 255, w), cnn()), "data/train-val-shift", "warn")


def test_one_feature_in_its_own_unit():
    (x, y), (v, w) = table(), table(96, seed=1)
    x[:, 4] *= 90
    v[:, 4] *= 90
    report = labbook.check(ce((x, y), (v, w)), only=["data"])
    found = {f.rule for f in report.findings if f.status != "note"}
    assert found == {"data/feature-scales", "data/not-standardized"}
    assert [f.rule for f in report.causes if f.status != "note"] == ["data/not-standardized"]


def test_one_feature_of_another_scale_alone():
    (x, y), (v, w) = table(), table(96, seed=1)
    small = torch.full((12,), 0.1)
    small[4] = 8
    only(ce((x * small, y), (v * small, w)), "data/feature-scales", "warn")


def test_all_inputs_are_zero():
    x, y = table()
    found = only(ce((torch.zeros_like(x), y)), "data/all-zero-inputs", "fail")
    assert "zero" in found.evidence
    found = only(ce((x[:1].expand(256, 12).clone(), y)), "data/all-zero-inputs", "fail")
    assert "the same example" in found.evidence


def test_a_constant_feature_is_a_note():
    x, y = table()
    x[:, 7] = 1
    assert ": 7" in notes(ce((x, y)))["data/constant-feature"].evidence


def test_standard_scores_cast_to_bytes():
    def data(n, seed):
        x, y = table(n, seed=seed)
        return torch.from_numpy(x.numpy().astype("int8").view("uint8")), y

    model = lambda: nn.Sequential(_Float(), *mlp()())  # noqa: E731
    found = alarms(ce(data(512, 0), data(512, 1), model))
    assert "data/uint8-wrap" in found
    assert set(found) <= {"data/uint8-wrap"}


def test_standard_scores_cut_to_whole_numbers():
    def data(n, seed):
        x, y = table(n, seed=seed)
        return (x * 1.2).trunc(), y

    assert only(ce(data(512, 0), data(512, 1)), "data/quantized", "fail").value >= 5


@pytest.mark.parametrize("seed", [0, 1])
def test_few_tones_are_no_cast(seed):
    g = gen(seed)
    board = torch.randint(-2, 3, (256, 16), generator=g).float()
    y = (board.sum(1) > 0).long()
    assert "data/quantized" not in alarms(ce((board, y), (board[:1], y[:1]), mlp(16, 2)))


# ---------------------------------------------------------------------- validation


class Noisy(Dataset):
    def __init__(self, n, seed):
        self.x, self.y = table(n, seed=seed)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] + 0.1 * torch.randn(12), self.y[i]


def test_random_transforms_in_validation():
    subject = ce() | {"val": DataLoader(Noisy(96, 1), 32)}
    found = only(subject, "data/augment-in-val", "warn")
    assert "Noisy" in found.where
    flipped = ce() | {"loader": DataLoader(Noisy(256, 0), 32, shuffle=True)}
    assert alarms(flipped) == {}


def test_validation_that_drops_its_last_batch():
    val = TensorDataset(*table(96, seed=1))
    found = only(ce() | {"val": DataLoader(val, 36, drop_last=True)}, "data/drop-last-val", "warn")
    assert "24 of 96" in found.evidence
    assert alarms(ce() | {"val": DataLoader(val, 32, drop_last=True)}) == {}
    assert "data/drop-last-val" in notes(ce() | {"val": DataLoader(val, 32, shuffle=True)})


# ---------------------------------------------------------------------- pretrained


def test_a_pretrained_net_without_its_transform():
    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cnn(3)()

        def forward(self, x):
            return self.net(x)

    Backbone.__module__ = "torchvision.models.resnet"

    def data(n, seed, scale):
        x, y = pictures(n, seed, channels=3)
        return ((x - 0.1) / 0.25 if scale else x), y

    raw = ce(data(128, 0, False), data(64, 1, False), Backbone) | {"pretrained": True}
    only(raw, "data/pretrained-stats", "warn")
    assert alarms(raw | {"pretrained": False}) == {}
    scaled = ce(data(128, 0, True), data(64, 1, True), Backbone) | {"pretrained": True}
    assert alarms(scaled) == {}


def test_the_line_that_makes_the_loader_is_named():
    def subject():
        data = TensorDataset(*sorted_by_class())
        return ce() | {"loader": DataLoader(data, 16)}

    found = alarms(subject)["data/unshuffled"]
    assert "test_data_rules.py" in found.where
    assert "in subject" in found.where
