"""How long a run is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from levelfield.spec.values import Value


class Budget(Value):
    """The length of a run: exactly one of `epochs`, `steps`, `samples`."""

    epochs: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Passes over the training images; fractions are allowed. [epochs]"""
    steps: Annotated[int, Field(gt=0, le=10**12)] | None = None
    """Optimiser steps. [steps]"""
    samples: Annotated[int, Field(gt=0, le=10**12)] | None = None
    """Training images seen. [images]"""

    @model_validator(mode="after")
    def _exactly_one(self) -> Budget:
        if sum(length is not None for length in (self.epochs, self.steps, self.samples)) != 1:
            raise ValueError("give exactly one of epochs, steps, samples, greater than zero")
        return self
