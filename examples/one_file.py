"""The whole method in one file: two networks, three seeds, one recipe written down beforehand, and the decision.

Do its shortcuts help a small residual network to read handwritten digits? `python examples/one_file.py` answers within
a minute on one CPU core. It computes to the bit what levelfield does in plain torch (LEVELFIELD_NATIVE=0), without it.
"""

import hashlib
import math

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

# The recipe: both networks get the same, and no test image was looked at to choose it.
SEEDS, EPOCHS, BATCH = (0, 1, 2), 10, 64
PEAK_LR, WARMUP_STEPS, WEIGHT_DECAY, CLIP_NORM, SMOOTHING = 3e-3, 22, 0.05, 1.0, 0.1
PADDING_PX = 1  # images are shifted by up to a pixel, and never mirrored: a mirrored digit is no digit
CLASSES, SIDE_PX, MEAN, STD = 10, 8, 0.305302, 0.375937  # the training images' own mean and deviation


# Every draw is a hash of what it is for: batch sizes, processes and resuming change none, and networks see equal crops.
def key(seed: int, stream: str, epoch: int = 0) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{stream}/{epoch}".encode()).digest()[:8], "little", signed=True)


def mixed(x: Tensor) -> Tensor:  # SplitMix64's finaliser: every bit that comes out depends on every one that went in
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def random_bits(seed: int, stream: str, epoch: int, sample: Tensor, count: int = 1) -> Tensor:
    """`count` random int64 for each of the images of these numbers: (n,) to (n, count)."""
    golden = -0x61C8864680B583EB
    return mixed(mixed(key(seed, stream, epoch) + sample * golden)[:, None] + torch.arange(1, count + 1) * golden)


def digits() -> list[tuple[Tensor, Tensor]]:
    """The images uint8 (n, 3, 8, 8) and labels (n,) of train, then of test: a quarter of each class, drawn once."""
    scans = load_digits()
    images = torch.from_numpy(scans.images * (255 / 16)).round().to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
    labels, count = torch.from_numpy(scans.target).long(), round(len(scans.target) / 4)
    take = (share := torch.bincount(labels) * (count / len(labels))).long()  # and one more where the most is left over
    take[(share - take).argsort(descending=True, stable=True)[: count - int(take.sum())]] += 1
    drawn, is_test = random_bits(0, "test", 0, torch.arange(len(labels)))[:, 0], torch.zeros(len(labels)).bool()
    for label in range(CLASSES):
        members = (labels == label).nonzero()[:, 0]
        is_test[members[drawn[members].argsort()[: take[label]]]] = True
    # An image's number is its rank by content: the same images from files in another order train the same run.
    pixels = images.permute(0, 2, 3, 1).numpy()
    content = [hashlib.blake2b(b"8/8/" + image.tobytes(), digest_size=32).digest() for image in pixels]
    ranked = torch.tensor(sorted(range(len(labels)), key=lambda row: (content[row], labels[row])))
    return [(images[rows], labels[rows]) for rows in (ranked[~is_test[ranked]], ranked[is_test[ranked]])]


def randomly_cropped(images: Tensor, sample: Tensor, epoch: int, seed: int) -> Tensor:
    """Pad with black and cut a window out of each image: the whole batch at once, without a loop over images."""
    drawn = (random_bits(seed, "augment.crop", epoch, sample, 2) >> 32) & 0xFFFFFFFF
    top, left = ((drawn * (2 * PADDING_PX + 1)) >> 32).unbind(1)  # uniform on 0..2 * PADDING_PX
    windows = F.pad(images, (PADDING_PX,) * 4).unfold(2, SIDE_PX, 1).unfold(3, SIDE_PX, 1)  # all of them, as a view
    return windows[torch.arange(len(images)), :, top, left]


def normalised(images: Tensor) -> Tensor:
    """uint8 to float32 of mean 0 and deviation 1, in the layout in which convolutions are fastest."""
    return (images.float() * (1 / (255 * STD)) - MEAN / STD).contiguous(memory_format=torch.channels_last)


class Block(nn.Module):
    """relu(x + f(x)) with two convolutions in f, or relu(f(x)) without the shortcut; `stride` 2 halves the sides."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if shortcut else None
        if shortcut and inputs != outputs:  # a 1x1 convolution gives x the shape of f(x)
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y if self.shortcut is None else self.shortcut(x) + y)


class Network(nn.Module):
    def __init__(self, num_classes: int, shortcut: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.levels = nn.Sequential(*(Block(*sizes, shortcut) for sizes in ((32, 32, 1), (32, 64, 2), (64, 128, 2))))
        self.head = nn.Linear(128, num_classes)
        for convolution in (module for module in self.modules() if isinstance(module, nn.Conv2d)):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.levels(self.stem(x)).mean((2, 3)))


def train(shortcut: bool, seed: int, images: Tensor, labels: Tensor, epochs: int) -> tuple[Network, list[float]]:
    """A network trained from scratch, and the loss of each of its steps."""
    torch.manual_seed(key(seed, "init") & (2**63 - 1))
    network = Network(CLASSES, shortcut).to(memory_format=torch.channels_last)
    # Weight decay is for kernels and matrices: there is no reason to pull biases and the scales of norms towards zero.
    kernels, rest = ([p for p in network.parameters() if (p.ndim > 1) is large] for large in (True, False))
    optimizer = torch.optim.AdamW([{"params": kernels}, {"params": rest, "weight_decay": 0}], weight_decay=WEIGHT_DECAY)
    losses, steps = [], epochs * math.ceil(len(images) / BATCH)
    for epoch in range(epochs):
        order = random_bits(seed, "order", epoch, torch.arange(len(images)))[:, 0].argsort()
        for sample in order.split(BATCH):  # the last one may be short, and is a step like any other
            x = normalised(randomly_cropped(images[sample], sample, epoch, seed))
            targets = F.one_hot(labels[sample], CLASSES) * (1 - SMOOTHING) + SMOOTHING / CLASSES
            loss = F.cross_entropy(network(x), targets, reduction="sum") / len(sample)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
            done = (len(losses) - WARMUP_STEPS) / (steps - WARMUP_STEPS)
            rise, fall = (len(losses) + 1) / WARMUP_STEPS, 0.5 * (1 + math.cos(math.pi * done))
            for group in optimizer.param_groups:  # up on a straight line, then down to zero on half a cosine
                group["lr"] = PEAK_LR * (rise if done < 0 else fall)
            optimizer.step()
            losses.append(loss.item())
    return network, losses


@torch.inference_mode()
def top1(network: Network, images: Tensor, labels: Tensor) -> float:
    """Percent told right by the weights of the last step; to choose an epoch by its test score would be cheating."""
    return 100 * (network.eval()(normalised(images)).argmax(1) == labels).sum().item() / len(labels)


def difference(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Mean and half the 95 % interval of the difference (Welch: each network's scores have a spread of their own)."""
    a, b = (torch.tensor(scores, dtype=torch.float64) for scores in (ours, theirs))
    error = torch.stack([a.var(), b.var()]) / len(SEEDS)  # of each mean, squared
    dof = (error.sum() ** 2 / (error**2).sum()).item() * (len(SEEDS) - 1)
    t = torch.linspace(0, 40, 400_001, dtype=torch.float64)  # Student's distribution, summed up from its middle
    share = torch.cumulative_trapezoid((1 + t * t / dof) ** (-(dof + 1) / 2), t)
    share *= math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(math.pi * dof)
    return (a.mean() - b.mean()).item(), (t[1:][torch.searchsorted(share, 0.475)] * error.sum().sqrt()).item()


if __name__ == "__main__":
    train_split, test_split = digits()
    scores = []
    for name, shortcut in (("with", True), ("without", False)):
        scores.append([top1(train(shortcut, seed, *train_split, EPOCHS)[0], *test_split) for seed in SEEDS])
        print(f"{name:<10}", *(f"{score:6.2f} %" for score in scores[-1]))
    mean, half = difference(*scores)  # of several comparisons each needs a wider interval (Holm): luck adds up
    verdict = "undecided" if abs(mean) <= half else "better" if mean > 0 else "worse"
    print(f"{'difference':<10} {mean:+6.2f} points, 95 % interval [{mean - half:+.2f}, {mean + half:+.2f}]: {verdict}")
