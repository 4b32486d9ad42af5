"""Tells whether two pictures show the same digit: two inputs, one net."""

import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset

import labbook

digits = load_digits()
images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
labels = torch.tensor(digits.target)


class Pairs(Dataset):
    """Half of the pairs match."""

    def __init__(self, indices, n, seed):
        generator = torch.Generator().manual_seed(seed)
        by_class = [indices[labels[indices] == k] for k in range(10)]
        self.pairs, self.targets = [], []
        for i in range(n):
            first = indices[torch.randint(len(indices), (1,), generator=generator)].item()
            same = i % 2
            pool = by_class[labels[first]] if same else indices[labels[indices] != labels[first]]
            second = pool[torch.randint(len(pool), (1,), generator=generator)].item()
            self.pairs.append((first, second))
            self.targets.append(float(same))

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        first, second = self.pairs[i]
        return images[first], images[second], torch.tensor([self.targets[i]])


order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(2))
train_loader = DataLoader(Pairs(order[:1400], 2400, 0), batch_size=64, shuffle=True)
test_loader = DataLoader(Pairs(order[1400:], 600, 1), batch_size=200)


class SiameseNetwork(nn.Module):
    """The two pictures go through the same layers; the answer is a probability."""

    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.fc = nn.Sequential(
            nn.Linear(256, 64), nn.ReLU(inplace=True), nn.Linear(64, 1), nn.Sigmoid()
        )

    def forward(self, first, second):
        return self.fc(torch.cat([self.cnn(first), self.cnn(second)], dim=1))


criterion = nn.BCELoss()


def train(model, optimizer, n_steps):
    model.train()
    done = 0
    while done < n_steps:
        for first, second, target in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(first, second), target)
            loss.backward()
            optimizer.step()
            done += 1
            if done >= n_steps:
                return


def evaluate(model):
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for first, second, target in test_loader:
            output = model(first, second)
            loss += criterion(output, target).item() * len(target)
            right += ((output > 0.5) == (target > 0.5)).sum().item()
    n = len(test_loader.dataset)
    return {"loss": loss / n, "accuracy": right / n}


@labbook.subject
def subject():
    return dict(
        model=SiameseNetwork,
        loss=criterion,
        loader=train_loader,
        val=test_loader,
        optimizer=lambda model: optim.Adadelta(model.parameters(), lr=1.0),
        train=train,
        evaluate=evaluate,
        task="binary",
    )


if __name__ == "__main__":
    torch.manual_seed(1)
    model = SiameseNetwork()
    print(evaluate(model))
    train(model, optim.Adadelta(model.parameters(), lr=1.0), 400)
    print(evaluate(model))
