"""Class and angle from one trunk."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook


class Bars(Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.angle = torch.rand(n, generator=g) * 3.14
        self.kind = torch.randint(0, 3, (n,), generator=g)
        t = torch.linspace(-1, 1, 12)
        yy, xx = torch.meshgrid(t, t, indexing="ij")
        u = xx[None] * self.angle.cos()[:, None, None] + yy[None] * self.angle.sin()[:, None, None]
        freq = torch.tensor([3.0, 6.0, 9.0])[self.kind][:, None, None]
        self.x = (u * freq).cos().unsqueeze(1) + 0.2 * torch.randn(n, 1, 12, 12, generator=g)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        a = 2 * self.angle[i]
        return {"image": self.x[i], "kind": self.kind[i], "angle": torch.stack([a.cos(), a.sin()])}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 64), nn.ReLU(),
        )  # fmt: skip
        self.kind_head = nn.Linear(64, 3)
        self.angle_head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, image, kind, angle):
        h = self.trunk(image)
        kind_logits, angle_pred = self.kind_head(h), self.angle_head(h)
        kind_loss = F.cross_entropy(kind_logits, kind)
        angle_loss = F.mse_loss(angle_pred, angle).item()
        return {"loss": kind_loss + angle_loss, "kind": kind_logits, "angle": angle_pred}


@labbook.subject
def subject():
    return labbook.Subject(
        model=Net,
        loader=DataLoader(Bars(800, 0), 32, shuffle=True),
        val=DataLoader(Bars(200, 1), 50),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), 1e-3),
    )
