"""Train a small network on 1,797 handwritten digits, and record it with labbook.

    python examples/digits/train.py --lr 0.002
    labbook watch examples/digits/evaluation.py    # in a second terminal: evaluates checkpoints

The digits are scikit-learn's own: 8×8 pixels, nothing is downloaded. Lines marked "labbook" are all
that labbook adds.
"""

import argparse
from collections.abc import Iterable, Iterator

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import labbook  # labbook


def digits() -> tuple[TensorDataset, TensorDataset]:
    """Return 1,347 digits to train on and 450 to validate on, the same split every time."""
    bunch = load_digits()
    images = (
        torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    )  # (1797, 1, 8, 8), 0 to 1
    labels = torch.tensor(bunch.target)  # (1797,)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    train, val = order[:1347], order[1347:]
    return TensorDataset(images[train], labels[train]), TensorDataset(images[val], labels[val])


def network(width: int) -> nn.Module:
    """Return a network from images (N, 1, 8, 8) to logits (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 2 * width, 4, 4)
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(2 * width * 16, 10),
    )


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Move a batch by up to one pixel, so that a hundred epochs still have something to teach."""
    dy, dx = torch.randint(-1, 2, (2,)).tolist()
    return torch.roll(images, (dy, dx), dims=(2, 3))


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: Iterable, n_steps: int
) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Take optimizer steps, and yield (step, epoch, loss) after each."""
    step = epoch = 0
    while step < n_steps:
        for images, labels in loader:
            loss = F.cross_entropy(model(shifted(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            yield step, epoch, loss
            if step == n_steps:
                return
        epoch += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--width", type=int, default=32, help="channels of the first layer")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.set_num_threads(1)  # so small a network is slower on more
    torch.manual_seed(args.seed)
    train_set, val = digits()
    loader = DataLoader(train_set, args.batch_size, shuffle=True, drop_last=True)
    model = network(args.width)
    optimizer = torch.optim.AdamW(model.parameters(), args.lr)
    n_steps = args.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    save_every = max(1, n_steps // 10)

    run = labbook.start()  # labbook: finds the arguments above, and records the code as it is now
    chosen = run.choose(val, n=64)  # labbook: 64 digits to follow, the same in every run
    run.follow(model, optimizer)  # labbook: the net, its gradients, and what it is given

    for step, epoch, loss in train(model, optimizer, run.loader(loader), n_steps):  # labbook
        schedule.step()
        run.log(loss=loss, lr=schedule.get_last_lr()[0], epoch=epoch, step=step)  # labbook
        if step % 50 == 0:
            chosen.observe(model, F.cross_entropy, step=step)  # labbook
        if step % save_every == 0:
            run.save(model.state_dict(), step=step)  # labbook
        if step % (10 * len(loader)) == 0 or step == n_steps:
            print(f"epoch {epoch + 1} of {args.epochs}: loss {loss.item():.4f}")
    run.finish()  # labbook


if __name__ == "__main__":
    main()
