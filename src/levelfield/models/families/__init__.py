"""The built-in networks, a file for each family; importing this registers them all."""

from levelfield.models.families import (  # noqa: F401
    convnext,
    convnext_roadmap,
    outgrid,
    published_small_image_forms,
    resnet,
    resnet_mini,
    rexnet,
    small_members,
    vit,
)
