"""Dense labels with a void class (255) at the borders."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Blobs(Dataset):
    def __init__(self, n, seed):
        r = np.random.RandomState(seed)
        self.data = []
        for _ in range(n):
            y = np.zeros((20, 20), np.int64)
            cy, cx, rad = r.randint(5, 15), r.randint(5, 15), r.randint(3, 5)
            dist = np.hypot(*np.mgrid[-cy : 20 - cy, -cx : 20 - cx])
            y[dist < rad] = 1 + r.randint(2)
            img = np.stack([(y == 1) * 1.0, (y == 2) * 1.0, np.ones_like(y)]) * 0.6 + r.normal(
                0, 0.4, (3, 20, 20)
            )
            y[np.abs(dist - rad) < 0.5] = 255
            self.data.append((img.astype(np.float32), y))

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        img, y = self.data[i]
        return torch.from_numpy(img), torch.from_numpy(y)


def fcn():
    def cbr(i, o, d=1):
        return nn.Sequential(
            nn.Conv2d(i, o, 3, padding=d, dilation=d, bias=False),
            nn.BatchNorm2d(o),
            nn.ReLU(inplace=True),
        )

    return nn.Sequential(cbr(3, 16), cbr(16, 24, 2), cbr(24, 24), nn.Conv2d(24, 3, 1))


@labbook.subject
def subject():
    return labbook.Subject(
        model=fcn,
        loss=nn.CrossEntropyLoss(ignore_index=255),
        loader=DataLoader(Blobs(240, 0), 12, shuffle=True),
        val=DataLoader(Blobs(60, 1), 12),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), 0.1, momentum=0.9, weight_decay=1e-4),
    )
