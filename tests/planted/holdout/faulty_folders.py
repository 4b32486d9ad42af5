"""Pictures read class folder by class folder, as a Dataset."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class DigitFolders(Dataset):
    """As if `root/0/*.png, root/1/*.png, …` had been listed."""

    def __init__(self, split):
        d = load_digits()
        r = np.random.RandomState(0).permutation(len(d.target))
        r = r[:1400] if split == "train" else r[1400:]
        self.samples = [(d.images[i], c) for c in range(10) for i in r if d.target[i] == c]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        img, c = self.samples[i]
        return torch.from_numpy(img).float().unsqueeze(0) / 16, c


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


@labbook.subject
def subject():
    return labbook.Subject(
        model=cnn,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(DigitFolders("train"), batch_size=50),
        val=DataLoader(DigitFolders("val"), batch_size=50),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.05, momentum=0.9),
    )
