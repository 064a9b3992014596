"""How long a run is."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt, model_validator

from levelfield.spec.values import Value


class Budget(Value):
    """The length of a run: exactly one of `epochs`, `steps`, `samples`."""

    epochs: PositiveFloat | None = None
    """Passes over the training images; fractions are allowed. [epochs]"""
    steps: PositiveInt | None = None
    """Optimiser steps. [steps]"""
    samples: PositiveInt | None = None
    """Training images seen. [images]"""

    @model_validator(mode="after")
    def _exactly_one(self) -> Budget:
        if sum(length is not None for length in (self.epochs, self.steps, self.samples)) != 1:
            raise ValueError("give exactly one of epochs, steps, samples, greater than zero")
        return self
