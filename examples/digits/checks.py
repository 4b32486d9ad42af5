"""What `labbook check` tries: the digits example's own model, data, loss and loops.

    labbook check examples/digits/checks.py

Works on copies, for some seconds, before a month of training does. Nothing is recorded.
"""

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from train import digits, network, train

import labbook


@labbook.subject
def subject():
    train_set, val = digits()
    loader = DataLoader(train_set, 32, shuffle=True, drop_last=True)
    val_loader = DataLoader(val, 64)

    def train_some(model, optimizer, n_steps):
        for _ in train(model, optimizer, loader, n_steps):
            pass

    def evaluate(model):
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in val_loader:
                correct += (model(images).argmax(1) == labels).sum().item()
        model.train()
        return {"accuracy": correct / len(val)}

    return labbook.Subject(
        model=lambda: network(32),
        loss=F.cross_entropy,
        loader=loader,
        val=val_loader,
        optimizer=lambda model: torch.optim.AdamW(model.parameters(), 1e-3),
        train=train_some,
        evaluate=evaluate,
        task="classification",
    )
