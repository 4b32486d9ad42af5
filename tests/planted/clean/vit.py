"""A vision transformer of digits: patches of 2×2, a class token, pre-norm layers."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

digits = load_digits()
order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
images = torch.tensor(digits.images, dtype=torch.float32)[order].unsqueeze(1) / 8 - 1
labels = torch.tensor(digits.target)[order]
train_loader = DataLoader(TensorDataset(images[:1400], labels[:1400]), batch_size=64, shuffle=True)
val_loader = DataLoader(TensorDataset(images[1400:], labels[1400:]), batch_size=200)


class ViT(nn.Module):
    """Sixteen patches and a class token."""

    def __init__(self, width=48, depth=2):
        super().__init__()
        self.patches = nn.Conv2d(1, width, kernel_size=2, stride=2)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 17, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)
        nn.init.trunc_normal_(self.head.weight, std=0.02)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)  # (B, 16, width)
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], dim=1)
        hidden = self.encoder(tokens + self.positions)
        return self.head(self.norm(hidden[:, 0]))


criterion = nn.CrossEntropyLoss(label_smoothing=0.1)


def make_optimizer(model):
    no_decay = [p for p in model.parameters() if p.ndim == 1]
    decay = [p for p in model.parameters() if p.ndim > 1]
    return torch.optim.AdamW(
        [{"params": decay}, {"params": no_decay, "weight_decay": 0.0}], lr=1e-3, weight_decay=0.05
    )


def train(model, optimizer, n_steps):
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=n_steps)
    model.train()
    step = 0
    while step < n_steps:
        for x, y in train_loader:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            if step == n_steps:
                break


@torch.no_grad()
def evaluate(model):
    model.eval()
    right = sum((model(x).argmax(1) == y).sum().item() for x, y in val_loader)
    return {"accuracy": right / 397}


@labbook.subject
def subject():
    return labbook.Subject(
        model=ViT,
        loss=criterion,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = ViT()
    print(evaluate(model))
    train(model, make_optimizer(model), 150)
    print(evaluate(model))
