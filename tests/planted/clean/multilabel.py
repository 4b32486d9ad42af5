"""Several labels at once, some of them rare."""

import torch
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

import labbook

x, y = make_multilabel_classification(
    n_samples=2500, n_features=30, n_classes=8, n_labels=2, random_state=0
)
x = torch.tensor(x, dtype=torch.float32)
x = (x - x[:2000].mean(0)) / x[:2000].std(0)
data = TensorDataset(x, torch.tensor(y, dtype=torch.float32))
train_set, val_set = random_split(data, [2000, 500], torch.Generator().manual_seed(0))
train_loader = DataLoader(train_set, batch_size=64, shuffle=True, drop_last=True)
val_loader = DataLoader(val_set, batch_size=500)


def make_model():
    return nn.Sequential(
        nn.Linear(30, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 8)
    )


loss_fn = nn.BCEWithLogitsLoss()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=3e-3)


def train(model, optimizer, n_steps):
    model.train()
    n_done = 0
    while n_done < n_steps:
        for features, labels in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(model(features), labels)
            loss.backward()
            optimizer.step()
            n_done += 1
            if n_done == n_steps:
                break


def evaluate(model):
    model.eval()
    with torch.no_grad():
        features, labels = next(iter(val_loader))  # one batch holds them all
        found = model(features) > 0
    return {"f1": float(f1_score(labels.numpy(), found.numpy(), average="macro", zero_division=0))}


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
        task="binary",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = make_model()
    print(evaluate(model))
    train(model, make_optimizer(model), 300)
    print(evaluate(model))
