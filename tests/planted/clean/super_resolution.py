"""Doubles the size of small pictures with a sub-pixel convolution."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.init as init
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import labbook

large = torch.tensor(load_digits().images / 16.0, dtype=torch.float32).unsqueeze(1)
large = F.interpolate(large, size=16, mode="bicubic", align_corners=False).clamp(0, 1)
large = large[torch.randperm(len(large), generator=torch.Generator().manual_seed(0))]
small = F.avg_pool2d(large, 2)
training_loader = DataLoader(TensorDataset(small[:1500], large[:1500]), batch_size=32, shuffle=True)
testing_loader = DataLoader(TensorDataset(small[1500:], large[1500:]), batch_size=100)


class Net(nn.Module):
    """(B, 1, 8, 8) → (B, 1, 16, 16)."""

    def __init__(self, upscale_factor=2):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 24, 5, padding=2)
        self.conv2 = nn.Conv2d(24, 24, 3, padding=1)
        self.conv3 = nn.Conv2d(24, upscale_factor**2, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.pixel_shuffle(self.conv3(x))


criterion = nn.MSELoss()


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def train(model, optimizer, n_steps):
    iterations = 0
    while iterations < n_steps:
        for batch in training_loader:
            inputs, target = batch[0], batch[1]
            optimizer.zero_grad()
            loss = criterion(model(inputs), target)
            loss.backward()
            optimizer.step()
            iterations += 1
            if iterations >= n_steps:
                break


def evaluate(model):
    """Peak signal to noise in dB, of all pixels of the test set."""
    squares = 0.0
    with torch.no_grad():
        for inputs, target in testing_loader:
            squares += ((model(inputs) - target) ** 2).sum().item()
    return -10 * torch.log10(torch.tensor(squares / large[1500:].numel())).item()


@labbook.subject
def subject():
    return labbook.Subject(
        model=Net,
        loss=criterion,
        loader=training_loader,
        val=testing_loader,
        optimizer=make_optimizer,
        train=train,
        evaluate=evaluate,
        task="regression",
    )


if __name__ == "__main__":
    torch.manual_seed(123)
    model = Net()
    print(f"{evaluate(model):.2f} dB")
    train(model, make_optimizer(model), 150)
    print(f"{evaluate(model):.2f} dB")
