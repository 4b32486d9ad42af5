"""A stream that never gives the same example twice: adds two numbers written in digits."""

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import labbook

N_DIGITS = 2


def make_sum(generator):
    a, b = torch.randint(0, 10**N_DIGITS, (2,), generator=generator).tolist()
    text = f"{a:0{N_DIGITS}d}{b:0{N_DIGITS}d}"
    digits = torch.tensor([int(character) for character in text])
    return digits, torch.tensor((a + b) // 10 % 10)


class Sums(IterableDataset):
    """4,000 sums a pass, others in each pass; the tens digit of the sum is the target."""

    def __iter__(self):
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        for _ in range(4000):
            yield make_sum(generator)


fixed = torch.Generator().manual_seed(0)
val_sums = [make_sum(fixed) for _ in range(500)]
train_loader = DataLoader(Sums(), batch_size=100)
val_loader = DataLoader(val_sums, batch_size=100)


class Adder(nn.Module):
    """One embedding for each place."""

    def __init__(self):
        super().__init__()
        self.places = nn.ModuleList([nn.Embedding(10, 16) for _ in range(2 * N_DIGITS)])
        self.net = nn.Sequential(nn.Linear(16 * 2 * N_DIGITS, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, digits):
        embedded = [place(digits[:, i]) for i, place in enumerate(self.places)]
        return self.net(torch.cat(embedded, dim=1))


loss_fn = nn.CrossEntropyLoss()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=5e-3)


def train(model, optimizer, n_steps):
    model.train()
    left = n_steps
    while left:
        for digits, tens in train_loader:
            optimizer.zero_grad()
            loss_fn(model(digits), tens).backward()
            optimizer.step()
            left -= 1
            if not left:
                break


def evaluate(model):
    model.eval()
    right = 0
    with torch.no_grad():
        for digits, tens in val_loader:
            right += (model(digits).argmax(1) == tens).sum().item()
    return right / len(val_sums)


@labbook.subject
def subject():
    return labbook.Subject(
        model=Adder,
        loss=loss_fn,
        loader=train_loader,
        val=val_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        # 10,000 sums are all there are: some come in both
        allow={"data/train-val-duplicates": "the stream is drawn from all sums of two digits"},
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    model = Adder()
    print(evaluate(model))
    train(model, make_optimizer(model), 400)
    print(evaluate(model))
