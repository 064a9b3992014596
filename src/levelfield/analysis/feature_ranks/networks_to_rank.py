"""What the rank analysis looks at: a network as a run left it, the same before its first step, or one by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from levelfield import randomness
from levelfield.analysis.feature_ranks.bottlenecks import Advice, Summary, bottlenecks, summarise
from levelfield.analysis.feature_ranks.network_rank import TOLERANCE, LayerRank, calibrate_batch_norm, measure_network
from levelfield.data import open_data
from levelfield.data.augment import build_eval_transform
from levelfield.models import create_model, model_info
from levelfield.runs import RunFolder
from levelfield.spec import Augment, DataSpec
from levelfield.training.build_model import build_model
from levelfield.training.load_finished_run import load_run

IMAGES: Final = 256
BATCH: Final = 64


@dataclass(frozen=True)
class Subject:
    """A network to measure, and the images to measure it on.

    `state`: "trained", "untrained" (random weights; BatchNorm's statistics are taken from the images). `top1`: test
    accuracy in percent where it is known. `transform`: from stored images, uint8, to what the network takes.
    """

    title: str
    state: str
    model: nn.Module
    data: DataSpec
    transform: Callable[[Tensor], Tensor]
    top1: float | None


@dataclass(frozen=True)
class NetworkRank:
    """A measured network: its layers, the whole in a line, and its bottlenecks, worst first.

    `seed` is that of the sample of positions.
    """

    title: str
    state: str
    data: str
    images: int
    tolerance: float
    seed: int
    top1: float | None
    summary: Summary
    layers: tuple[LayerRank, ...]
    advice: tuple[Advice, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, the derived numbers of every layer included."""
        value = asdict(self)
        for described, layer in zip(value["layers"], self.layers, strict=True):
            described |= {"ratio": layer.ratio, "rank_share": layer.share, "lost": layer.lost, "judged": layer.judged}
        return value


def from_run(path: str | Path, data: str | None = None) -> list[Subject]:
    """The network of a finished run before and after training, on that run's data, or on `data`. Raises UserError."""
    loaded = load_run(path)
    spec, description = loaded.spec, RunFolder(Path(path)).description()
    assert spec.model.image_size is not None
    untrained = build_model(spec)
    wanted = spec.data if data is None else DataSpec(name=data, image_size=spec.model.image_size)
    mean, std = tuple(description["mean"]), tuple(description["std"])
    transform = build_eval_transform(spec.recipe.augment, spec.model.image_size, mean, std)
    title = f"{spec.model.name} / {spec.recipe.name} / seed {spec.seed}"
    return [
        Subject(title, state, model, wanted, transform, top1)
        for state, model, top1 in (("untrained", untrained, None), ("trained", loaded.model, loaded.result["top1"]))
    ]


def from_name(name: str, data: str = "digits", image_size: int | None = None, seed: int = 0,
              data_dir: str | None = None) -> Subject:  # fmt: skip
    """A registered or timm network with random weights, on `data` at its published image size or at `image_size`."""
    side = image_size or model_info(name).image_size
    spec = DataSpec(name=data, image_size=side)
    found = open_data(spec, data_dir)
    torch.manual_seed(randomness.key(seed, "init") & 0x7FFFFFFFFFFFFFFF)
    model = create_model(name, num_classes=len(found.classes), image_size=side)
    return Subject(name, "untrained", model, spec, build_eval_transform(Augment(), side, found.mean, found.std), None)


def measure(
    subject: Subject,
    data_dir: str | None = None,
    images: int = IMAGES,
    tolerance: float = TOLERANCE,
    advance: Callable[[int], None] = lambda images: None,
    seed: int = 0,
) -> NetworkRank:
    """Measure `subject` on the first `images` of its data's test split (fewer where the split is smaller).

    `seed` draws the positions of the maps that are measured.
    """
    found = open_data(subject.data, data_dir)
    count = min(images, len(found.test))

    def batches() -> Iterator[Tensor]:
        for positions in torch.split(torch.arange(count), BATCH):
            yield subject.transform(found.test.read(positions))

    if subject.state == "untrained":
        calibrate_batch_norm(subject.model, torch.cat(list(batches())))
    layers = measure_network(subject.model, batches, count, tolerance, advance, seed)
    return NetworkRank(
        title=subject.title,
        state=subject.state,
        data=subject.data.name,
        images=count,
        tolerance=tolerance,
        seed=seed,
        top1=subject.top1,
        summary=summarise(layers),
        layers=tuple(layers),
        advice=tuple(bottlenecks(layers)),
    )
