"""Reads handwritten digits with a small convolutional network."""

import random

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

MEAN, STD = 0.305, 0.376  # of the training pictures, in [0, 1]


class Digits(Dataset):
    """8×8 pictures, one channel, shifted by up to one pixel when `augment` is on."""

    def __init__(self, indices, augment=False):
        digits = load_digits()
        self.images = torch.tensor(digits.images[indices] / 16.0, dtype=torch.float32)
        self.labels = torch.tensor(digits.target[indices])
        self.augment = augment

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = self.images[index].unsqueeze(0)  # (1, 8, 8)
        if self.augment:
            image = shift(image, random.randint(-1, 1), random.randint(-1, 1))
        return (image - MEAN) / STD, self.labels[index]


def shift(image, dx, dy):
    padded = F.pad(image, (1, 1, 1, 1))
    return padded[:, 1 + dy : 9 + dy, 1 + dx : 9 + dx]


order = torch.randperm(1797, generator=torch.Generator().manual_seed(0)).numpy()
train_set = Digits(order[:1400], augment=True)
val_set = Digits(order[1400:])
train_loader = DataLoader(train_set, batch_size=50, shuffle=True)
val_loader = DataLoader(val_set, batch_size=100, shuffle=False)


class Net(nn.Module):
    """Two convolutions and two linear layers."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(32 * 2 * 2, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 16, 4, 4)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (B, 32, 2, 2)
        x = torch.flatten(x, 1)
        x = self.dropout(x)
        x = F.relu(self.fc1(x))
        return self.fc2(x)


def compute_loss(output, target):
    return F.cross_entropy(output, target)


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=2e-3)


def train(model, optimizer, n_steps):
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.7)
    done = 0
    while done < n_steps:
        model.train()
        for images, labels in train_loader:
            if done == n_steps:
                break
            output = model(images)
            loss = compute_loss(output, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
        scheduler.step()


@torch.no_grad()
def evaluate(model):
    model.eval()
    total_loss, correct = 0.0, 0
    for images, labels in val_loader:
        output = model(images)
        total_loss += F.cross_entropy(output, labels, reduction="sum").item()
        correct += output.argmax(dim=1).eq(labels).sum().item()
    return {"loss": total_loss / len(val_set), "accuracy": correct / len(val_set)}


@labbook.subject
def subject():
    return labbook.Subject(
        model=Net,
        loss=compute_loss,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="classification",
    )


if __name__ == "__main__":
    torch.manual_seed(1)
    net = Net()
    print("before", evaluate(net))
    train(net, make_optimizer(net), 280)
    print("after", evaluate(net))
