"""The common corruptions of Hendrycks and Dietterich (arXiv 1903.12261), computed from clean images, batch by batch.

Functions take float64 images (B, H, W, 3) in [0, 1], the parameters of one severity (`severities.py`) and random draws
(`draws.py`), and return float64 images in [0, 1] times 255, which `corrupt.py` cuts to whole numbers, as the published
sets were. Frost lays photographs over the images, which are not shipped here but read from a folder (`frost.py`). Blurs
along a line, published by ImageMagick, are those of the package imagecorruptions.
"""
