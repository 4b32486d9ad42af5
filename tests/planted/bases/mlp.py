"""Tells five kinds of machine fault from twenty sensor readings."""

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labbook

N_CLASSES = 5
BATCH_SIZE = 64
LEARNING_RATE = 1e-3

features, labels = make_classification(
    n_samples=3000,
    n_features=20,
    n_informative=12,
    n_redundant=4,
    n_classes=N_CLASSES,
    class_sep=1.5,
    flip_y=0.0,
    random_state=0,
)
# each sensor has its own unit
rng = np.random.default_rng(0)
features = features * rng.lognormal(1.0, 1.5, 20) + rng.normal(0.0, 20.0, 20)

x_train, x_val, y_train, y_val = train_test_split(
    features, labels, test_size=0.25, random_state=0, stratify=labels
)
mean, std = x_train.mean(axis=0), x_train.std(axis=0)
x_train = (x_train - mean) / std
x_val = (x_val - mean) / std

train_set = TensorDataset(torch.tensor(x_train, dtype=torch.float32), torch.tensor(y_train))
val_set = TensorDataset(torch.tensor(x_val, dtype=torch.float32), torch.tensor(y_val))
train_loader = DataLoader(train_set, batch_size=BATCH_SIZE, shuffle=True)
val_loader = DataLoader(val_set, batch_size=256)


def make_model():
    return nn.Sequential(
        nn.Linear(20, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(64, N_CLASSES),
    )


loss_fn = nn.CrossEntropyLoss()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)


def train(model, optimizer, n_steps):
    step = 0
    while step < n_steps:
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            logits = model(x)
            loss = loss_fn(logits, y)
            loss.backward()
            optimizer.step()
            step += 1
            if step >= n_steps:
                break


def evaluate(model):
    model.eval()
    correct = 0
    with torch.no_grad():
        for x, y in val_loader:
            correct += (model(x).argmax(dim=1) == y).sum().item()
    return correct / len(val_set)


@labbook.subject
def subject():
    return labbook.Subject(
        model=make_model,
        loss=loss_fn,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = make_model()
    print(f"accuracy before {evaluate(model):.3f}")
    train(model, make_optimizer(model), 300)
    print(f"accuracy after  {evaluate(model):.3f}")
