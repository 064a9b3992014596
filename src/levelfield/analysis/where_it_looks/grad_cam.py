"""Grad-CAM: which places of a map speak for a class (Selvaraju et al., arXiv 1610.02391), by pytorch-grad-cam.

Every channel of the map weighs as much as the mean gradient of the class's logit over its places (equation 1); what is
left above zero of their weighted sum is what is shown (equation 2).
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from levelfield.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from levelfield.analysis.where_it_looks.spatial_map import SpatialMap


def check_grad_cam() -> str:
    """pytorch-grad-cam and its version. Raises UserError where it is not installed."""
    if find_spec("pytorch_grad_cam") is None:
        raise UserError("overlays need pytorch-grad-cam, which is not installed\npip install 'levelfield[overlays]'")
    return f"pytorch-grad-cam {version('grad-cam')}"


def grad_cam(network: nn.Module, images: Tensor, classes: list[int], of: SpatialMap) -> NDArray[np.float32]:
    """(B, height, width) for the class of each of `images` (B, 3, H, W), from 0 at the lowest place to 1 at the
    highest; 0 everywhere where nothing speaks for the class."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    cam: Any = GradCAM(network, [of.module], reshape_transform=of.seen)
    cam.get_target_width_height = lambda batch: (of.width, of.height)  # the map's own places, not the image's
    try:
        found: NDArray[np.float32] = cam(images, [ClassifierOutputTarget(place) for place in classes])
    finally:
        cam.activations_and_grads.release()
    return found
