"""LoRA adapters on a pretrained encoder."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook


class LoraLinear(nn.Module):
    def __init__(self, base: nn.Linear, rank: int = 4):
        super().__init__()
        self.base = base
        for p in self.base.parameters():
            p.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.zeros(rank, base.in_features))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + (x @ self.lora_a.T) @ self.lora_b.T * 2.0


d = load_digits()
X, Y = torch.tensor(d.data).float() / 16, torch.tensor(d.target)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1, self.l2 = nn.Linear(64, 64), nn.Linear(64, 64)
        self.cls = nn.Linear(64, 10)

    def forward(self, x):
        return self.cls(F.gelu(self.l2(F.gelu(self.l1(x)))))


torch.manual_seed(0)
weights = Encoder().state_dict()


def adapted():
    m = Encoder()
    m.load_state_dict(weights)
    m.l1, m.l2 = LoraLinear(m.l1), LoraLinear(m.l2)
    return m


@labbook.subject
def subject():
    return labbook.Subject(
        model=adapted,
        loss=nn.CrossEntropyLoss(),
        loader=DataLoader(TensorDataset(X[:1400], Y[:1400]), 32, shuffle=True),
        val=DataLoader(TensorDataset(X[1400:], Y[1400:]), 32),
        optimizer=lambda m: torch.optim.AdamW((p for p in m.parameters() if p.requires_grad), 2e-3),
        pretrained=True,
    )
