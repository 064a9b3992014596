"""Statistics: arrays of scores in, frozen values with estimate, interval, method, n and assumption out."""

from levelfield.statistics.intervals import Estimate, further_run, sample_interval, seeds_interval
from levelfield.statistics.pairwise import (
    Difference,
    McNemar,
    SignFlip,
    holm,
    mcnemar_test,
    probability_of_beating,
    sign_flip,
)
from levelfield.statistics.power import Power, seeds_needed
from levelfield.statistics.published import AgainstPublished, Conditions, against_published, not_comparable
from levelfield.statistics.ranking import Comparison, Rank, compare_rows

__all__ = [
    "AgainstPublished",
    "Comparison",
    "Conditions",
    "Difference",
    "Estimate",
    "McNemar",
    "Power",
    "Rank",
    "SignFlip",
    "against_published",
    "compare_rows",
    "further_run",
    "holm",
    "mcnemar_test",
    "not_comparable",
    "probability_of_beating",
    "sample_interval",
    "seeds_interval",
    "seeds_needed",
    "sign_flip",
]
