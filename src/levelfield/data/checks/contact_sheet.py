"""A contact sheet: images with captions in a grid, so that a person sees what the model sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from levelfield.data.augment import build_augment, build_mix
from levelfield.data.cache_folder import replacing
from levelfield.data.store.splits import ImageData, Split
from levelfield.data.stratified_sampling import stratified

if TYPE_CHECKING:
    from levelfield.spec import Recipe

_CELL_PX: Final = 112
_GAP_PX: Final = 8
_LINE_PX: Final = 13
_LETTER_PX: Final = 6
_INK, _PAPER = (32, 32, 32), (255, 255, 255)


def contact_sheet(images: Tensor, captions: Sequence[str], columns: int = 8) -> Image.Image:
    """A sheet of uint8 images (N, 3, H, W), each under its caption (lines split by newlines)."""
    scale = max(1, _CELL_PX // images.shape[-1])
    side = images.shape[-1] * scale
    lines = max(caption.count("\n") for caption in captions) + 1
    height = side + lines * _LINE_PX + _GAP_PX
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (side + _GAP_PX) + _GAP_PX, rows * height + _GAP_PX), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = _GAP_PX + number % columns * (side + _GAP_PX), _GAP_PX + number // columns * height
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        sheet.paste(picture.resize((side, side), Image.Resampling.NEAREST), (left, top))
        text = "\n".join(_short(line, side // _LETTER_PX) for line in caption.split("\n"))
        draw.multiline_text((left, top + side + 1), text, fill=_INK, font=font, spacing=2)
    return sheet


def plain_samples(data: ImageData, split: Split, count: int, seed: int) -> Image.Image:
    """A sheet of `count` samples of `split`, stratified over the classes and in their order."""
    positions = _choose(split, count, seed)
    captions = [data.classes[label] for label in split.labels[positions].tolist()]
    return contact_sheet(split.read(positions), captions)


def augmented_samples(data: ImageData, recipe: Recipe, image_size: int, count: int, seed: int) -> Image.Image:
    """A sheet of `count` training samples as the model sees them under `recipe`, with their mixed labels in percent.

    The normalisation is undone for the eye; what erasing filled with noise is clipped to the visible range.
    """
    split = data.train
    positions = _choose(split, count, seed)
    augment = build_augment(recipe.augment, image_size, data.mean, data.std)
    x = augment(split.batch(positions), split.index[positions], 0, seed)
    mix = build_mix(recipe.mix, image_size)
    plan = mix.plan(len(positions), seed, 0, 0)
    mean = torch.tensor(augment.normalize.mean).view(1, 3, 1, 1)
    std = torch.tensor(augment.normalize.std).view(1, 3, 1, 1)
    shown = ((mix.apply(x, plan) * std + mean) * 255.0).round().clamp(0, 255).to(torch.uint8)
    labels = split.labels[positions].tolist()
    captions = []
    for row, label in enumerate(labels):
        share, other = float(plan.lam[row]), labels[int(plan.partner[row])]
        own = data.classes[label]
        if not plan.mixed or share == 1.0 or other == label:
            captions.append(own)
        else:
            captions.append(f"{share:.0%} {own}\n{1 - share:.0%} {data.classes[other]}")
    return contact_sheet(shown, captions)


def save(sheet: Image.Image, path: Path) -> None:
    """Write `sheet` as PNG, atomically."""
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG")


def _choose(split: Split, count: int, seed: int) -> Tensor:
    positions = stratified(split.labels, split.index, min(count, len(split)), seed=seed, stream="show")
    return positions[torch.argsort(split.labels[positions], stable=True)]


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
