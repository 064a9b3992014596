"""Whether some row varies over seeds far more than the others: decisions on it are less sure than the table says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from levelfield.statistics.distributions import f_tail
from levelfield.tables.audit.findings import Finding, Panel
from levelfield.tables.number_format import percent

TIMES: Final = 3.0
"""A row is named whose standard deviation is so many times that of the others together."""
LEVEL: Final = 0.01
"""Of the F test of that row against the others: equal rows would rarely look so."""
WRONG: Final = "5 to 6"
"""Percent of tables of equal rows with a false claim where one varies five times as much as the others and its flips do
not tell (benchmarks/decisions.py): the highest cells, two rows, and rows of unequal numbers of seeds."""


def spread(panel: Panel) -> Iterable[Finding]:
    """No row should vary far more over its seeds than the others do."""
    scores = {row.name: np.array(row.results("top1"), dtype=np.float64) for row in panel.measured}
    scores = {name: found for name, found in scores.items() if len(found) > 2}
    if len(scores) < 2:
        if any(len(row.runs.finished) > 1 for row in panel.measured):
            text = "Whether some row varies far more over seeds than the others: fewer than two rows have three runs."
            yield Finding("spread", "unchecked", text)
        return
    wild = []
    for name, found in scores.items():
        others = [one for other, one in scores.items() if other != name]
        dof = sum(len(one) - 1 for one in others)
        rest = sum(float(((one - one.mean()) ** 2).sum()) for one in others) / dof
        own = float(found.var(ddof=1))
        if rest > 0 and own > TIMES**2 * rest and f_tail(own / rest, len(found) - 1, dof) < LEVEL:
            wild.append((name, own**0.5, rest**0.5))
    if not wild:
        yield Finding("spread", "passed", f"no row varies over seeds {TIMES:g} times as much as the others")
    for name, own_sd, rest_sd in wild:
        text = f"{name} varies over seeds by {percent(own_sd)} points, the other rows by {percent(rest_sd)}"
        text += f": where one row does, up to {WRONG} % of simulated tables of equal rows made a false claim, not 5."
        yield Finding("spread", "differs", text, (name,))
