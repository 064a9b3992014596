"""Corruptions beside their reference: imagecorruptions 1.1.2 on OpenCV and scikit-image, severity by severity.

    pip install --no-deps --target REFERENCE imagecorruptions opencv-python-headless scikit-image lazy-loader \
        tifffile imageio
    PYTHONPATH=REFERENCE python benchmarks/corruption_equality.py [--write]   # with frost of the package's photographs

The reference runs with the parameters of CIFAR-10-C and of Tiny-ImageNet-C in place of ImageNet's, and with what their
scripts (github.com/hendrycks/robustness) do otherwise: zooms are cut back about the centre, boxes enlarge, elastic
deformation begins with an affine map (OpenCV's), frost is of scaled photographs. Both get the same random numbers.
`--write` keeps the
reference's images of 32 px for the tests, frost's of photographs that the tests make, too. Printed: the share of values
that differ, the largest and the mean difference, in 255ths.
"""

from __future__ import annotations

import re
import sys
import tempfile
import types
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from levelfield.analysis.corruptions.corrupt import SEVERITIES, applied
from levelfield.analysis.corruptions.draws import Draws
from levelfield.analysis.corruptions.frost import FILES, read_photographs
from levelfield.analysis.corruptions.severities import CIFAR, FROST, TINY

KEPT = Path(__file__).parents[1] / "tests" / "analysis" / "corrupted_by_reference.npz"
SEED = 20


def picture(side: int) -> np.ndarray:
    """A picture with smooth, flat, sharp, grey and saturated parts, uint8 (side, side, 3)."""
    y, x = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    image = np.stack([x, 0.5 + 0.5 * np.sin(9 * y), 1 - x * y], -1)
    image[(x - 0.6) ** 2 + (y - 0.4) ** 2 < 0.05] = (0.9, 0.1, 0.1)
    image[int(0.7 * side) :, : side // 3] = 0.5
    image[: side // 5, : side // 5] = (0.0, 0.0, 0.0)
    return (255 * image).astype(np.uint8)


def reference(table: dict[str, Any]) -> dict[str, Any]:
    """The functions of imagecorruptions with the parameters of `table`."""
    import skimage as sk
    import skimage.color
    import skimage.filters
    import skimage.util

    found = find_spec("imagecorruptions")  # not imported: it asks for parts of scipy and setuptools that are gone
    assert found is not None and found.submodule_search_locations, __doc__
    text = (Path(found.submodule_search_locations[0]) / "corruptions.py").read_text()
    text = re.sub(r"from scipy.ndimage.interpolation", "from scipy.ndimage", text)
    text = text.replace("from pkg_resources import resource_filename", "").replace("np.float_", "np.float64")
    text = text.replace("Image.NEAREST", "Image.BOX")
    parts = re.split(r"(?m)^(?=def )", text)
    for i, part in enumerate(parts):
        name = re.match(r"def (\w+)", part)
        if name and name[1] in table:
            parts[i] = re.sub(
                r"c = \[.*?\]\[\s*severity - 1\]", f"c = TABLE[{name[1]!r}][severity - 1]", part, flags=re.DOTALL
            )
    space: dict[str, Any] = {"TABLE": table, "__name__": "reference"}
    exec("".join(parts), space)
    smooth, zoom = skimage.filters.gaussian, space["clipped_zoom"]

    def gaussian(image: Any, sigma: Any, multichannel: bool = False, **more: Any) -> Any:
        return smooth(image, sigma, channel_axis=-1 if multichannel else None, **more)

    def clipped_zoom(image: Any, factor: float) -> Any:
        large, side = zoom(image, factor), image.shape[0]
        trim = (large.shape[0] - side) // 2
        return large[trim : trim + side, trim : trim + side]

    def randint(low: int, high: int, size: Any) -> Any:
        return low + np.floor(np.random.random_sample(size) * (high - low)).astype(int)

    noisy = types.SimpleNamespace(
        color=sk.color, util=types.SimpleNamespace(
            random_noise=partial(skimage.util.random_noise, rng=np.random.default_rng(SEED))))  # fmt: skip
    numpy = types.ModuleType("numpy")
    numpy.__dict__.update(np.__dict__)
    numpy.random = types.SimpleNamespace(  # type: ignore[attr-defined]
        normal=np.random.normal, uniform=np.random.uniform, poisson=np.random.poisson, randint=randint)  # fmt: skip
    space |= {"gaussian": gaussian, "clipped_zoom": clipped_zoom, "sk": noisy, "np": numpy}
    return space | {"elastic_transform": partial(_elastic, gaussian, table["elastic_transform"])}


def photographs(folder: Path) -> Path:
    """`folder` with five smooth pictures in the place of frost's photographs, of other sizes each; PNG whatever their
    name, so that no two decoders of JPEG differ."""
    for number, name in enumerate(FILES):
        y, x = np.meshgrid(np.arange(171 + 10 * number), np.arange(260 - 20 * number), indexing="ij")
        layers = [127 + 127 * np.sin(x / (7 + k) + y / (5 + number + k)) for k in range(3)]
        Image.fromarray(np.stack(layers, -1).astype(np.uint8)).save(folder / name, format="PNG")
    return folder


def frost(table: Any, folder: Path, image: Any, severity: int) -> Any:
    """Frost as make_cifar_c.py and make_tinyimagenet_c.py lay it, of the photographs in `folder`."""
    import cv2

    kept, added, scale = table[severity - 1]
    pixels = np.array(image)
    side = pixels.shape[0]
    which = int(5 * np.random.random_sample())
    large = cv2.imread(str(folder / FILES[which]), cv2.IMREAD_COLOR)
    small = cv2.resize(large, (0, 0), fx=scale, fy=scale)[..., ::-1]
    top, left = (int((length - side) * np.random.random_sample()) for length in small.shape[:2])
    return np.clip(kept * pixels + added * small[top : top + side, left : left + side], 0, 255)


def _elastic(gaussian: Any, table: Any, image: Any, severity: int) -> Any:
    import cv2
    from scipy.ndimage import map_coordinates

    pixels = np.array(image, dtype=np.float32) / 255
    side = pixels.shape[0]
    far, smoothness, shift = (side * part for part in table[severity - 1])
    centre, reach = side // 2, side // 3
    points = np.float32([[centre + reach] * 2, [centre + reach, centre - reach], [centre - reach] * 2])
    moved = points + np.random.uniform(-shift, shift, (3, 2)).astype(np.float32)
    matrix = cv2.getAffineTransform(points, moved)
    pixels = cv2.warpAffine(pixels, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    right, down = (
        gaussian(np.random.uniform(-1, 1, (side, side)), smoothness, mode="reflect", truncate=3) * far for _ in range(2)
    )
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    layers = [
        map_coordinates(pixels[..., c], [rows + down, columns + right], order=1, mode="reflect") for c in range(3)
    ]
    return np.clip(np.stack(layers, -1), 0, 1) * 255


def beside(name: str, table: dict[str, Any], image: np.ndarray, severity: int, folder: Path) -> tuple[Any, Any]:
    """The reference's image and ours, with the same random numbers; frost of the photographs in `folder`."""
    np.random.seed(SEED)
    made = (partial(frost, table[FROST], folder) if name == FROST else reference(table)[name])(
        Image.fromarray(image), severity
    )
    if name == "motion_blur":
        made = np.rint(made)
    source = np.random.default_rng(SEED) if name == "impulse_noise" else np.random.RandomState(SEED)
    laid = read_photographs(folder) if name == FROST else None
    ours = applied(image[None], name, severity, Draws([source]), laid)[0]
    return np.uint8(np.clip(np.asarray(made, dtype=np.float64), 0, 255)), ours


def main() -> None:
    kept = {}
    found = find_spec("imagecorruptions")
    assert found is not None and found.submodule_search_locations, __doc__
    published = Path(found.submodule_search_locations[0]) / "frost"
    for side, table in ((32, CIFAR), (64, TINY)):
        image = picture(side)
        print(f"{side} px            share of values that differ %, largest, mean difference (255ths), by severity")
        for name in CIFAR:
            cells = []
            for severity in SEVERITIES:
                theirs, ours = beside(name, table, image, severity, published)
                apart = np.abs(ours.astype(int) - theirs)
                cells.append(f"{100 * (apart > 0).mean():6.2f} {apart.max():3d} {apart.mean():6.3f}")
                if side == 32 and name != FROST:
                    kept[f"{name}_{severity}"] = theirs
            print(f"{name:18s} " + " | ".join(cells))
    with tempfile.TemporaryDirectory() as made:
        folder = photographs(Path(made))
        for severity in SEVERITIES:
            kept[f"{FROST}_{severity}"], _ = beside(FROST, CIFAR, picture(32), severity, folder)
    if "--write" in sys.argv:
        np.savez_compressed(KEPT, clean=picture(32), **kept)
        print(f"written: {KEPT} ({KEPT.stat().st_size / 1024:.0f} KiB)")


if __name__ == "__main__":
    main()
