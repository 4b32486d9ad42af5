"""Names the shape in a small colour picture with a residual network."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

SHAPES = ("square", "disc", "cross", "stripes")
SIZE = 16


def draw(shape, rng):
    """One picture (3, SIZE, SIZE) in [0, 1]: a coloured shape on a noisy ground."""
    yy, xx = np.mgrid[:SIZE, :SIZE]
    cy, cx = rng.uniform(6, 10, 2)
    radius = rng.uniform(3.0, 5.0)
    if shape == "square":
        mask = np.maximum(abs(yy - cy), abs(xx - cx)) < radius * 0.8
    elif shape == "disc":
        mask = (yy - cy) ** 2 + (xx - cx) ** 2 < radius**2
    elif shape == "cross":
        mask = np.minimum(abs(yy - cy), abs(xx - cx)) < 1.0
        mask &= np.maximum(abs(yy - cy), abs(xx - cx)) < radius
    else:
        mask = ((xx + int(cx)) % 4 < 2) & (abs(yy - cy) < radius)
    ground = rng.uniform(0.2, 0.6, 3)
    colour = np.clip(ground + rng.choice([-0.35, 0.35], 3), 0, 1)
    picture = np.where(mask, colour[:, None, None], ground[:, None, None])
    return np.clip(picture + rng.normal(0, 0.08, picture.shape), 0, 1)


def make_set(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(SHAPES), n)
    pictures = np.stack([draw(SHAPES[label], rng) for label in labels]).astype(np.float32)
    return torch.from_numpy(pictures), torch.from_numpy(labels)


train_x, train_y = make_set(1200, seed=0)
val_x, val_y = make_set(300, seed=1)
channel_mean = train_x.mean(dim=(0, 2, 3), keepdim=True)
channel_std = train_x.std(dim=(0, 2, 3), keepdim=True)
train_x = (train_x - channel_mean) / channel_std
val_x = (val_x - channel_mean) / channel_std

train_loader = DataLoader(
    TensorDataset(train_x, train_y), batch_size=48, shuffle=True, drop_last=True
)
val_loader = DataLoader(TensorDataset(val_x, val_y), batch_size=100)


class Block(nn.Module):
    """conv–norm–ReLU twice, with a short cut."""

    def __init__(self, n_in, n_out, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, three blocks and a global average."""

    def __init__(self, n_classes=len(SHAPES)):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(inplace=True)
        )
        self.layer1 = Block(12, 12)
        self.layer2 = Block(12, 24, stride=2)
        self.layer3 = Block(24, 24)
        self.head = nn.Linear(24, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        x = x.mean(dim=(2, 3))  # (B, 24)
        return self.head(x)


criterion = nn.CrossEntropyLoss(label_smoothing=0.05)


def make_optimizer(model):
    return torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True
    )


def batches_forever(loader):
    while True:
        yield from loader


def train(model, optimizer, n_steps):
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_steps)
    model.train()
    batches = batches_forever(train_loader)
    for _ in range(n_steps):
        inputs, targets = next(batches)
        optimizer.zero_grad(set_to_none=True)
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        scheduler.step()


def evaluate(model):
    was_training = model.training
    model.eval()
    hits, seen = 0, 0
    with torch.inference_mode():
        for inputs, targets in val_loader:
            predictions = model(inputs).argmax(dim=1)
            hits += int((predictions == targets).sum())
            seen += len(targets)
    model.train(was_training)
    return {"top1": hits / seen}


@labbook.subject
def subject():
    return labbook.Subject(
        model=ResNet,
        loss=criterion,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
    )


def main():
    torch.manual_seed(0)
    model = ResNet()
    optimizer = make_optimizer(model)
    print("before", evaluate(model))
    train(model, optimizer, 150)
    print("after", evaluate(model))


if __name__ == "__main__":
    main()
