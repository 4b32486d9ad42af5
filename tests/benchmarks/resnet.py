"""ResNet-18 on synthetic pictures: a training script and its evaluation, as a user writes them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.benchmarks import nets

TRAIN = """
import argparse, hashlib, json, time
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
import labbook
from nets import pictures, resnet18


def network(args):
    return resnet18(args.classes)


def validation_set(args):
    return TensorDataset(*pictures(args.n_validation, 3, args.side, seed=2))


def validate(net, data, batch):
    net.eval()
    with torch.no_grad():
        found = [F.cross_entropy(net(x), y, reduction="none") for x, y in DataLoader(data, batch)]
    net.train()
    return torch.cat(found).mean()


def train(args):
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    run = labbook.start(args, output=False)
    validation = validation_set(args)
    data = TensorDataset(*pictures(args.n_train, 3, args.side, seed=1))
    loader = DataLoader(data, args.batch, shuffle=True)
    net = network(args)
    optimizer = torch.optim.SGD(net.parameters(), args.lr, momentum=0.9)
    chosen = run.choose(validation, n=8)
    curve, times, step = hashlib.sha256(), [], 0
    began = time.perf_counter()
    while step < args.steps:
        for x, y in loader:
            before = time.perf_counter()
            loss = F.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            run.log(loss=loss, lr=args.lr, step=step)
            curve.update(loss.detach().numpy().tobytes())
            times.append(time.perf_counter() - before)
            if step % args.every == 0:
                chosen.observe(net, F.cross_entropy, step=step)
                run.save(net.state_dict(), step=step)
                if args.in_loop:
                    run.log({"validation.loss": validate(net, validation, args.batch)}, step=step)
            if step == args.steps:
                break
    seconds = time.perf_counter() - began
    for value in net.state_dict().values():
        curve.update(value.numpy().tobytes())
    run.finish()
    times.sort()
    return {"id": run.id, "seconds": seconds, "step": times[len(times) // 2],
            "digest": curve.hexdigest()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, default in (("steps", 8), ("every", 2), ("seed", 0), ("batch", 16), ("side", 16),
                          ("n-train", 64), ("n-validation", 64), ("classes", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--in-loop", action="store_true")
    print(json.dumps(train(parser.parse_args())))
"""

EVALUATION = """
import labbook
from train import network, validation_set

validation = labbook.evaluation.classification(validation_set, network, batch_size=32)
"""


def lay(folder: Path) -> Path:
    """Write train.py, evaluation.py and nets.py into a new folder; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(TRAIN)
    (folder / "evaluation.py").write_text(EVALUATION)
    shutil.copy(nets.__file__, folder / "nets.py")
    return folder
