"""Networks that benchmarks train and evaluate: no package of models is needed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def small_cnn() -> nn.Module:
    """Return a network from (N, 1, 28, 28) to logits (N, 10); 80 thousand parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 14 * 14, 10),
    )


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al., 2016, figure 2)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.short = nn.Sequential()
        if stride != 1 or n_in != n_out:
            conv = nn.Conv2d(n_in, n_out, 1, stride, bias=False)
            self.short = nn.Sequential(conv, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.short(x))


def resnet18(classes: int = 10) -> nn.Module:
    """Return ResNet-18 for small pictures: (N, 3, S, S) to logits; 11.2 million parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)]
    layers.append(nn.ReLU())
    n_in = 64
    for n_out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(n_in, n_out, stride), Block(n_out, n_out, 1)]
        n_in = n_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


def pictures(n: int, channels: int, side: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return synthetic pictures (n, channels, side, side) of ten classes that can be learned."""
    make = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 10, (n,), generator=make)
    means = torch.randn(10, channels, side, side, generator=torch.Generator().manual_seed(99))
    return means[labels] + torch.randn(n, channels, side, side, generator=make), labels
