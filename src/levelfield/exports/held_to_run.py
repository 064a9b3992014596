"""An exported program held to the run that it was made of: in its own runtime, over the whole test set."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from levelfield.cost.energy import energy_meter
from levelfield.data import build_eval_transform, make_loader
from levelfield.data.store.splits import Split, centre_crop
from levelfield.errors import UserError
from levelfield.exports.forms import Images, Runtime
from levelfield.exports.program import ImageProgram, Layout
from levelfield.progress import OnProgress
from levelfield.training.fake_quantisation import without_rounding
from levelfield.training.load_finished_run import LoadedRun

OTHER_SIZES: Final = ((1.7, 2.3), (2.4, 0.8), (0.6, 0.7))
"""Height and width, in sides of the run's images, of the images by which the resizing inside is tested."""
RESIZED: Final = 64
"""Images of each other size."""
LATENCY_S: Final = 1.5
"""Seconds of timing a batch size, both programs together."""
TURN_S: Final = 0.15
"""Seconds of a turn of one of them."""


@dataclass(frozen=True)
class Compared:
    """Two programs on the same images: how many, how many each has right, on how many their likeliest class differs.

    `logits_off`, `probabilities_off`: the largest absolute differences; `largest_logit`: the largest absolute logit.
    """

    images: int = 0
    right_in_torch: int = 0
    right: int = 0
    differing: int = 0
    logits_off: float = 0.0
    probabilities_off: float = 0.0
    largest_logit: float = 0.0

    @property
    def lost(self) -> int:
        """Images fewer right than in PyTorch; 0 where there are none."""
        return max(0, self.right_in_torch - self.right)

    def __add__(self, other: Compared) -> Compared:
        return Compared(
            self.images + other.images,
            self.right_in_torch + other.right_in_torch,
            self.right + other.right,
            self.differing + other.differing,
            max(self.logits_off, other.logits_off),
            max(self.probabilities_off, other.probabilities_off),
            max(self.largest_logit, other.largest_logit),
        )


@dataclass(frozen=True)
class Latency:
    """Medians in ms of a batch, of calls by turns: PyTorch's network in float32, and the exported program, with its
    quartiles. `repeats`: calls of the one that was timed less often. `torch_joules_per_image`, `joules_per_image`: of
    the processor in their turns, whatever else ran on it; None where its meter cannot be read."""

    batch: int
    torch_ms: float
    ms: float
    ms_q1: float
    ms_q3: float
    repeats: int
    torch_joules_per_image: float | None
    joules_per_image: float | None


@dataclass
class _Timed:
    """Milliseconds of the calls of a program that were timed; all calls, and the joules of these (None: no meter)."""

    ms: list[float] = field(default_factory=list)
    calls: int = 0
    joules: float | None = None

    def joules_per(self, images: int) -> float | None:
        return None if self.joules is None else self.joules / (self.calls * images)


class InTorch:
    """The run's network in float32 on the CPU, as its test computes, with its temperature; `plain`: of one that was
    trained to int8 without that rounding, which takes time and is there for training alone."""

    def __init__(self, run: LoadedRun, program: ImageProgram, plain: bool = False) -> None:
        size, described = run.spec.model.image_size, run.folder.description()
        assert size is not None
        self.model = without_rounding(run.model) if plain else run.model
        self.fit, self.size_px = program.resize.fit, size
        self.temperature = program.temperature
        self.transform = build_eval_transform(
            run.spec.recipe.augment, size, tuple(described["mean"]), tuple(described["std"])
        )

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities and logits of fitted uint8 images (B, 3, S, S), cut to their centre as tests cut them."""
        logits = self.model(self.transform(centre_crop(images, self.size_px))).float()
        return (logits / self.temperature).softmax(1).numpy(), logits.numpy()


class Fitted:
    """An exported program given images that Pillow has fitted already: what it must say of those that it resizes."""

    def __init__(self, runtime: Runtime, program: ImageProgram) -> None:
        self.runtime, self.fit, self.layout = runtime, program.resize.fit, program.layout

    def __call__(self, images: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities and logits of fitted uint8 images (B, 3, S, S)."""
        return self.runtime(_laid_out(images.numpy(), self.layout))


def over_test_set(
    reference: InTorch, runtime: Runtime, images_of: Split, layout: Layout, batch: int, progress: OnProgress | None
) -> Compared:
    """Both programs on every image of the test set."""
    found, total = Compared(), len(images_of)
    for images, labels, _ in make_loader(images_of, batch_size=batch, seed=0, shuffle=False).epoch(0):
        assert isinstance(images, torch.Tensor)
        found += _compared(reference(images), runtime(_laid_out(images.numpy(), layout)), labels.numpy())
        if progress is not None:
            progress("testing the export", found.images, total)
    return found


def at_other_sizes(reference: InTorch | Fitted, runtime: Runtime, images_of: Split, layout: Layout) -> Compared:
    """Both on test images brought to other sizes, which the exported program resizes itself and the reference gets
    fitted by Pillow."""
    loader = make_loader(images_of, batch_size=min(RESIZED, len(images_of)), seed=0, shuffle=True)
    images, labels, _ = next(iter(loader.epoch(0)))
    assert isinstance(images, torch.Tensor)
    found = Compared()
    for tall, wide in OTHER_SIZES:
        height, width = (max(1, round(images.shape[-1] * share)) for share in (tall, wide))
        given = np.stack([np.asarray(Image.fromarray(each).resize((width, height))) for each in _hwc(images.numpy())])
        fitted = np.stack([reference.fit.apply(each) for each in given]).transpose(0, 3, 1, 2)
        planes = np.ascontiguousarray(given.transpose(0, 3, 1, 2))
        said = runtime(_laid_out(planes, layout))
        found += _compared(reference(torch.from_numpy(np.ascontiguousarray(fitted))), said, labels.numpy())
    return found


def latencies(reference: InTorch, runtime: Runtime, images_of: Split, layout: Layout, batch: int) -> list[Latency]:
    """Of one image and of a batch, by turns."""
    found = []
    for count in sorted({1, min(batch, len(images_of))}):
        images, _, _ = next(iter(make_loader(images_of, batch_size=count, seed=0, shuffle=False).epoch(0)))
        assert isinstance(images, torch.Tensor)
        given = _laid_out(images.numpy(), layout)
        ours, theirs = _in_turns(lambda images=images: reference(images), lambda given=given: runtime(given))  # type: ignore[misc]
        low, middle, high = map(float, np.quantile(theirs.ms, (0.25, 0.5, 0.75)))
        repeats, joules = min(len(ours.ms), len(theirs.ms)), (ours.joules_per(count), theirs.joules_per(count))
        found.append(Latency(count, float(np.median(ours.ms)), middle, low, high, repeats, *joules))
    return found


def _in_turns(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[_Timed, _Timed]:
    """Calls of both, after three of each that warm up. A turn is many calls, the first of them not timed: the threads
    of the one before go on spinning for a while, and would take a core from it."""
    found, meter = (_Timed(), _Timed()), energy_meter(torch.device("cpu"))
    for call in (first, second):
        for _ in range(3):
            call()
    end = time.perf_counter() + LATENCY_S
    while len(found[0].ms) < 10 or time.perf_counter() < end:
        for call, timed in zip((first, second), found, strict=True):
            before, turn, already = meter.joules() if meter else 0.0, time.perf_counter() + TURN_S, len(timed.ms)
            call()
            while True:
                begin = time.perf_counter()
                call()
                timed.ms.append(1e3 * (time.perf_counter() - begin))
                if time.perf_counter() >= turn:
                    break
            timed.calls += 1 + len(timed.ms) - already
            if meter:
                timed.joules = (timed.joules or 0.0) + meter.joules() - before
    return found


def _compared(
    own: tuple[NDArray[np.float32], NDArray[np.float32]],
    exported: tuple[NDArray[np.float32], NDArray[np.float32]],
    labels: NDArray[np.int64],
) -> Compared:
    for what, found in (("the run's network in fp32", own), ("the exported file", exported)):
        if wrong := sum(not np.isfinite(np.concatenate(both)).all() for both in zip(*found, strict=True)):
            raise UserError(
                f"{what} gives values that are no numbers (NaN, infinite) for {wrong} of {len(labels)} images\n"
                "no file was kept; levelfield predict uses the run as it is, in its own precision"
            )
    (own_p, own_logits), (p, logits) = own, exported
    first, other = own_logits.argmax(1), logits.argmax(1)
    return Compared(
        images=len(labels),
        right_in_torch=int((first == labels).sum()),
        right=int((other == labels).sum()),
        differing=int((first != other).sum()),
        logits_off=float(np.abs(own_logits - logits).max()),
        probabilities_off=float(np.abs(own_p - p).max()),
        largest_logit=float(np.abs(own_logits).max()),
    )


def _hwc(planes: Images) -> Images:
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _laid_out(planes: Images, layout: Layout) -> Images:
    return _hwc(planes) if layout is Layout.NHWC else np.ascontiguousarray(planes)
