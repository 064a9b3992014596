"""From an image to RGB pixels: one decoder for training, evaluation and `load_run(...).preprocess`, Pillow, by content.

The rules: an EXIF rotation is applied; palettes are looked up; transparency is laid over white; grey is repeated;
16-bit grey keeps its upper 8 bits; CMYK is converted. What cannot be decoded rightly raises `BadImageError`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from levelfield.data.sources.readers.contract import Pixels
from levelfield.errors import UserError

MAX_PIXELS: Final = 89_478_485
"""Larger images (a quarter of a gibibyte as RGB, Pillow's own limit) are refused as far too large."""

_EXIF_ORIENTATION: Final = 0x0112

_SAYS_MORE: Final = frozenset(("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp", "transparency"))
"""Where a PNG, JPEG or WebP file can say how it is to be turned or what is clear, as Pillow names it."""

_SIGNATURES: Final = ((b"\xff\xd8\xff", 0, "JPEG"), (b"\x89PNG", 0, "PNG"), (b"WEBP", 8, "WEBP"))
"""(bytes, offset, format): asking one plugin instead of all forty saves a third of the time of a small image."""

_FORMATS: Final = frozenset(name for _, _, name in _SIGNATURES)


class BadImageError(ValueError):
    """An image that cannot be decoded; the message is the reason, without the image's name."""


def decode(item: bytes | Path | Image.Image | Pixels) -> tuple[Pixels, str]:
    """Decode `item` to RGB uint8 (H, W, 3) and say its mode as found (`L`, `RGB`, `CMYK`, ...; `array` for pixels).

    `item`: the bytes of a file, its path, a PIL image (loaded or not), or pixels, which are returned as they are.
    Raises `BadImageError` for empty, truncated, unknown or far too large content, OSError for an unreadable path.
    """
    if isinstance(item, np.ndarray):
        return item, "array"
    if isinstance(item, Image.Image):
        return _guarded(item, b"")
    if isinstance(item, Path):
        item = item.read_bytes()
    if not item:
        raise BadImageError("the file is empty (0 bytes)")
    return _guarded(io.BytesIO(item), item)


def read_image(image: bytes | str | Path | Image.Image) -> Pixels:
    """RGB uint8 (H, W, 3) of an image of one's own (bytes, path or PIL image), decoded as the images of data sets are.

    Raises UserError with the name of the file, where there is one, and the reason.
    """
    name = str(image) if isinstance(image, str | Path) else "the image"
    try:
        return decode(Path(image).expanduser() if isinstance(image, str) else image)[0]
    except BadImageError as error:
        raise UserError(f"{name} cannot be decoded: {error}\ngive an image that opens in a viewer") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}\ngive the path of an image") from None


def _guarded(opened: io.BytesIO | Image.Image, head: bytes) -> tuple[Pixels, str]:
    """Pixels and mode of a file in memory or an opened image; what Pillow raises becomes `BadImageError`."""
    try:
        image = opened if isinstance(opened, Image.Image) else Image.open(opened, formats=_formats(head))
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise BadImageError(f"far too large: {width} x {height} pixels")
        mode = image.mode
        image.load()
        return np.ascontiguousarray(_to_rgb(image)), mode
    except BadImageError:
        raise
    except Image.DecompressionBombError as error:
        raise BadImageError("far too large: " + str(error)) from None
    except UnidentifiedImageError:
        raise BadImageError(f"not an image in a known format (starts with {head[:8]!r})") from None
    except (OSError, SyntaxError, ValueError, IndexError, EOFError) as error:  # what Pillow's plugins raise on damage
        raise BadImageError(f"damaged: {error}") from None


def _formats(item: bytes) -> tuple[str, ...] | None:
    return next(((name,) for magic, start, name in _SIGNATURES if item.startswith(magic, start)), None)


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode == "RGB" and image.format in _FORMATS and _SAYS_MORE.isdisjoint(image.info):
        return np.asarray(image)  # most images: to ask for their EXIF data would take longer than what is left to do
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey, also where Pillow hands it out as 32-bit integers
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 0xFFFF:
            raise BadImageError(
                f"mode {image.mode} with values {wide.min()}..{wide.max()}; only up to 16 bits are known"
            )
        return np.repeat((wide >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise BadImageError("floating-point pixels have no stated range; convert them to 8 bits first")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
