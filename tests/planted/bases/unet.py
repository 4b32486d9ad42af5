"""Colours the cells in a picture: dense labels, with borders that do not count."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

SIZE = 24
N_CLASSES = 3
IGNORE = 255


class Cells(Dataset):
    """Grey pictures (1, 24, 24) and labels (24, 24): ground, bright cells, ringed cells."""

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.pictures, self.labels = [], []
        yy, xx = np.mgrid[:SIZE, :SIZE]
        for _ in range(n):
            picture = np.full((SIZE, SIZE), 0.2)
            label = np.zeros((SIZE, SIZE), dtype=np.int64)
            for _ in range(rng.integers(2, 5)):
                cy, cx = rng.uniform(4, SIZE - 4, 2)
                radius = rng.uniform(2.5, 4.5)
                kind = int(rng.integers(1, N_CLASSES))
                r = np.hypot(yy - cy, xx - cx)
                inside = r < radius
                picture[inside] = 0.9 if kind == 1 else 0.5
                if kind == 2:
                    picture[inside & (r > radius - 1.3)] = 0.9
                label[inside] = kind
                label[abs(r - radius) < 0.35] = IGNORE
            self.pictures.append(picture + rng.normal(0, 0.05, picture.shape))
            self.labels.append(label)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        picture = torch.tensor(self.pictures[i], dtype=torch.float32)[None]
        return (picture - 0.35) / 0.25, torch.from_numpy(self.labels[i])


train_cells, val_cells = Cells(320, 0), Cells(80, 1)
train_loader = DataLoader(train_cells, batch_size=16, shuffle=True)
val_loader = DataLoader(val_cells, batch_size=16)


def double_conv(n_in, n_out):
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1),
        nn.GroupNorm(4, n_out),
        nn.ReLU(),
        nn.Conv2d(n_out, n_out, 3, padding=1),
        nn.GroupNorm(4, n_out),
        nn.ReLU(),
    )


class UNet(nn.Module):
    """One level down and up again; logits (B, classes, H, W)."""

    def __init__(self, width=12):
        super().__init__()
        self.down = double_conv(1, width)
        self.bottom = double_conv(width, 2 * width)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.merge = double_conv(2 * width, width)
        self.logits = nn.Conv2d(width, N_CLASSES, 1)

    def forward(self, x):
        fine = self.down(x)  # (B, w, 24, 24)
        coarse = self.bottom(nn.functional.max_pool2d(fine, 2))  # (B, 2w, 12, 12)
        merged = self.merge(torch.cat([fine, self.up(coarse)], dim=1))
        return self.logits(merged)


loss_fn = nn.CrossEntropyLoss(ignore_index=IGNORE)


def make_optimizer(model):
    return torch.optim.RMSprop(model.parameters(), lr=1e-3)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for pictures, labels in train_loader:
            loss = loss_fn(model(pictures), labels)
            for p in model.parameters():
                p.grad = None
            loss.backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    """Mean intersection over union."""
    model.eval()
    both, either = torch.zeros(N_CLASSES), torch.zeros(N_CLASSES)
    with torch.no_grad():
        for pictures, labels in val_loader:
            found = model(pictures).argmax(1)
            counted = labels != IGNORE
            for k in range(N_CLASSES):
                both[k] += ((found == k) & (labels == k) & counted).sum()
                either[k] += (((found == k) | (labels == k)) & counted).sum()
    return (both / either.clamp(min=1)).mean().item()


@labbook.subject
def subject():
    return labbook.Subject(
        model=UNet,
        loss=loss_fn,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="classification",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    unet = UNet()
    print(f"IoU {evaluate(unet):.3f}")
    train(unet, make_optimizer(unet), 120)
    print(f"IoU {evaluate(unet):.3f}")
