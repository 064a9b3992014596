"""A run as one value: its science (model, data, recipe, budget, seed, plugins), its execution, and its identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from levelfield.spec.identity import identity, science
from levelfield.spec.run_parts import RunValues


class RunSpec(RunValues):
    """One training run. `recipe` is the recipe itself, never only its name, so that a run says all of itself."""

    def science(self) -> dict[str, Any]:
        """What defines the result, as plain JSON values with every key: for reading and comparing.

        Left out are execution, prose, and the places of what a checksum or digest tells (plugins, weights, data of
        one's own); what has no effect where it stands is shown at its default. `identity` hashes less.
        """
        return science(self)

    def identity(self, mends: Sequence[str] | None = None) -> str:
        """SHA-256 (hex) over SCIENCE_VERSION and the science that differs from its defaults.

        `mends`: the revisions under which the run was made, as its run.json says (None: today's), so that the identity
        of an old run can be told. Raises UserError while anything is open.
        """
        return identity(self, mends)
