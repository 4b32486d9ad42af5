"""A small net learns from a larger one that is trained already."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import labbook

TEMPERATURE = 3.0

digits = load_digits()
order = torch.randperm(1797, generator=torch.Generator().manual_seed(1))
pictures = (torch.tensor(digits.data, dtype=torch.float32) / 16)[order]
labels = torch.tensor(digits.target)[order]


def make_net(width):
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def train_teacher():
    with torch.random.fork_rng():
        torch.manual_seed(11)
        teacher = make_net(256)
        optimizer = torch.optim.Adam(teacher.parameters(), lr=2e-3)
        for _ in range(150):
            index = torch.randint(0, 1400, (128,))
            optimizer.zero_grad()
            F.cross_entropy(teacher(pictures[index]), labels[index]).backward()
            optimizer.step()
    return teacher.eval().requires_grad_(False)


teacher = train_teacher()
with torch.no_grad():
    taught = F.softmax(teacher(pictures) / TEMPERATURE, dim=1)


class Taught(Dataset):
    """Pictures and what the teacher says of them."""

    def __init__(self, start, stop):
        self.span = range(start, stop)

    def __len__(self):
        return len(self.span)

    def __getitem__(self, i):
        return pictures[self.span[i]], taught[self.span[i]]


train_loader = DataLoader(Taught(0, 1400), batch_size=70, shuffle=True)
val_loader = DataLoader(Taught(1400, 1797), batch_size=397)


def distill(logits, taught):
    return (
        F.kl_div(F.log_softmax(logits / TEMPERATURE, dim=1), taught, reduction="batchmean")
        * TEMPERATURE**2
    )


def make_student():
    return make_net(16)


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=5e-3)


def train(model, optimizer, n_steps):
    model.train()
    step = 0
    while step < n_steps:
        for x, target in train_loader:
            optimizer.zero_grad()
            distill(model(x), target).backward()
            optimizer.step()
            step += 1
            if step == n_steps:
                break


def evaluate(model):
    model.eval()
    with torch.no_grad():
        found = model(pictures[1400:]).argmax(1)
    return {"accuracy": (found == labels[1400:]).double().mean().item()}


@labbook.subject
def subject():
    return labbook.Subject(
        model=make_student,
        loss=distill,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="other",
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    student = make_student()
    print(evaluate(student))
    train(student, make_optimizer(student), 300)
    print(evaluate(student))
