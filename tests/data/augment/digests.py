"""What the input path makes of one small batch, case by case, as digests: the same bytes on every processor.

`python tests/data/augment/digests.py` prints them; with `--record` it writes them anew, after a change on purpose.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from levelfield import randomness
from levelfield.data.augment import build_augment, build_eval_transform, build_mix, soft_targets
from levelfield.data.augment.operations import Layer, Space
from levelfield.data.augment.randaugment_spaces import timm_space, torchvision_space, trivial_space, uda_space
from levelfield.spec import Augment, Mix

RECORD = Path(__file__).with_name("digests.json")
INDEX = torch.arange(100, 124)

CROPS: dict[str, Any] = {
    "none": None,
    "pad_crop": {"name": "pad_crop", "padding_px": 4},
    "pad_crop reflect": {"name": "pad_crop", "padding_px": 4, "fill": "reflect"},
    "random_crop": {"name": "random_crop"},
    "random_resized_crop bilinear": {"name": "random_resized_crop"},
    "random_resized_crop bicubic": {"name": "random_resized_crop", "interpolation": "bicubic"},
}
POLICIES: dict[str, Any] = {
    "torchvision": {"name": "randaugment", "ops": 2, "magnitude": 7},
    "timm": {"name": "randaugment", "form": "timm", "magnitude": 9, "magnitude_std": 0.5, "increasing": True},
    "uda": {"name": "randaugment", "form": "uda", "ops": 3, "magnitude": 20},
    "trivial": {"name": "trivial_augment_wide"},
}
SPACES = {
    "torchvision": (torchvision_space(), (0.0, 7.0, 10.0, 20.0, 30.0)),
    "trivial": (trivial_space(), (0.0, 7.0, 10.0, 20.0, 30.0)),
    "timm": (timm_space(True, (128, 120, 110)), (0.0, 3.3, 9.0, 10.0)),
    "timm plain": (timm_space(False, (128, 120, 110)), (0.0, 3.3, 9.0, 10.0)),
    "uda": (uda_space(), (0.0, 7.7, 20.0, 30.0)),
}
MIXES: dict[str, Any] = {
    "mixup": {"mixup_alpha": 0.8},
    "cutmix": {"cutmix_alpha": 1.0},
    "both": {"mixup_alpha": 0.2, "cutmix_alpha": 0.7, "probability": 0.7},
}


def pictures(height: int, width: int) -> Tensor:
    """uint8 (24,3,height,width) of whole-number arithmetic alone: ramps of drawn steepness, blocks and noise."""
    draws = randomness.bits(5, "pictures", 0, torch.arange(24), 3 * height * width + 9)
    noise, by = draws[:, 9:].view(24, 3, height, width) & 31, (draws[:, :9] & 7).view(24, 3, 3, 1, 1)
    y, x = torch.arange(height)[:, None], torch.arange(width)
    ramp = by[:, 0] * y + by[:, 1] * x + 40 * ((y // 5 + x // 7) % (1 + by[:, 2]))
    return ((ramp + noise) % 256).to(torch.uint8)


def cases() -> dict[str, Callable[[], Tensor | tuple[Tensor, ...]]]:
    """Name -> what makes the tensors of that case."""
    made: dict[str, Callable[[], Tensor | tuple[Tensor, ...]]] = {}

    def augment(name: str, values: dict[str, Any], stored: tuple[int, int] = (32, 32), size: int = 32) -> None:
        made[name] = lambda: build_augment(Augment.parse(values), size)(pictures(*stored), INDEX, 3, 7)

    for name, crop in CROPS.items():
        whole = name.startswith(("none", "pad"))
        augment(f"crop {name}", {"crop": crop, "flip": "random"}, (32, 32) if whole else (40, 47))
    augment("flip alternate", {"flip": "alternate"})
    for name in ("data", "imagenet", "half"):
        augment(f"normalize {name}", {"normalize": name})
        made[f"evaluation {name}"] = lambda name=name: build_eval_transform(Augment(normalize=name), 24)(
            pictures(32, 33)
        )
    for name, policy in POLICIES.items():
        augment(f"policy {name}", {"policy": policy})
    for value in ("constant", "random", "pixel"):
        augment(f"erasing {value}", {"erasing": {"probability": 0.7, "value": value}})
    augment("jitter", {"color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}})
    augment("all", {"crop": CROPS["pad_crop"], "flip": "random", "policy": POLICIES["trivial"],
                    "color_jitter": {"saturation": 0.4}, "erasing": {}})  # fmt: skip
    for form, (space, levels) in SPACES.items():
        for number, entry in enumerate(space.entries):
            made[f"{form} {entry.name}"] = lambda space=space, number=number, levels=levels: torch.cat(
                [operation(space, number, level, sign) for level in levels for sign in (-1, 1)]
            )
    for name, mix in MIXES.items():
        for mode in ("batch", "element"):
            made[f"mix {name} {mode}"] = lambda mix=mix, mode=mode: mixed(Mix.parse({**mix, "mode": mode}))
    made["normal draws"] = lambda: randomness.normal(3, "draws", 1, torch.arange(4096), 8)
    return made


def operation(space: Space, number: int, level: float, sign: int) -> Tensor:
    """uint8 (24,3,20,27): operation `number` of `space` on every picture, the smooth ones half bicubic."""
    images, each = pictures(20, 27), torch.ones(24, dtype=torch.float64)
    place = randomness.uniform(0, "place", 0, INDEX, 2)
    return space.apply(images, [Layer(each.long() * number, each * level, each * sign, place, INDEX % 2 == 0)])


def mixed(mix: Mix) -> tuple[Tensor, ...]:
    """Plans, mixed images and targets of a few steps."""
    x = build_eval_transform(Augment(), 16)(pictures(16, 16))
    mixing, labels, out = build_mix(mix, 16), INDEX % 10, []
    for step in range(6):
        plan = mixing.plan(len(x), 1, 2, step)
        targets = soft_targets(labels, labels[plan.partner], plan.lam, 10, 0.1)
        out += [plan.partner, plan.lam, plan.box, mixing.apply(x, plan), targets]
    return tuple(out)


def digest(tensors: Tensor | tuple[Tensor, ...]) -> str:
    state = hashlib.sha256()
    for tensor in (tensors,) if isinstance(tensors, Tensor) else tensors:
        state.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.contiguous().numpy().tobytes())
    return state.hexdigest()[:16]


def digests() -> dict[str, str]:
    return {name: digest(make()) for name, make in cases().items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    text = json.dumps(digests(), indent=1, sort_keys=True) + "\n"
    if "--record" in sys.argv:
        RECORD.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
