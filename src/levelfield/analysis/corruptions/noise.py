"""Noise: Gaussian, shot (Poisson), impulse (salt and pepper), speckle."""

from __future__ import annotations

import numpy as np

from levelfield.analysis.corruptions.draws import Draws, Floats


def gaussian_noise(x: Floats, scale: float, draws: Draws) -> Floats:
    return np.asarray(np.clip(x + scale * draws.normal(*x.shape[1:]), 0, 1) * 255)


def shot_noise(x: Floats, photons: float, draws: Draws) -> Floats:
    """`photons` of a white pixel are counted."""
    return np.asarray(np.clip(draws.poisson(x * photons) / photons, 0, 1) * 255)


def impulse_noise(x: Floats, amount: float, draws: Draws) -> Floats:
    """A share `amount` of the values becomes 0 or 1, each as often (skimage.util.random_noise, mode "s&p")."""
    flipped, salted = draws.uniform(*x.shape[1:]) <= amount, draws.uniform(*x.shape[1:]) <= 0.5
    return np.where(flipped, np.where(salted, 255.0, 0.0), x * 255)


def speckle_noise(x: Floats, scale: float, draws: Draws) -> Floats:
    return np.asarray(np.clip(x + x * (scale * draws.normal(*x.shape[1:])), 0, 1) * 255)
