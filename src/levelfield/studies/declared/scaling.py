"""What a study says of rows that are one network at several sizes, lengths or shares of the data."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from levelfield.spec import Value


class Scaling(Value):
    """Curves of accuracy over cost: by network the rows that make its curve."""

    curves: dict[str, tuple[str, ...]]
    """By network the rows that are it at several sizes, lengths or shares of the data."""
    extrapolate: Annotated[float, Field(gt=1.0, allow_inf_nan=False)] | None = None
    """To so many times the largest cost that was trained the laws are extrapolated. None: not at all."""

    @model_validator(mode="after")
    def _of_one_curve(self) -> Self:
        named = [row for rows in self.curves.values() for row in rows]
        if twice := [row for row in named if named.count(row) > 1]:
            raise ValueError(f"row {twice[0]!r} is named twice; a row belongs to one curve")
        return self
