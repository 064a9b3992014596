"""Statistics: arrays of scores in, frozen values with estimate, interval, method, n and assumption out."""

from levelfield.statistics.against_published_value import (
    AgainstPublished,
    Conditions,
    against_published,
    not_comparable,
)
from levelfield.statistics.holm import holm
from levelfield.statistics.intervals import Estimate, further_run, sample_interval, seeds_interval
from levelfield.statistics.pairwise import (
    Difference,
    McNemar,
    SignFlip,
    mcnemar_test,
    probability_of_beating,
    sign_flip,
)
from levelfield.statistics.power import Power, seeds_needed
from levelfield.statistics.ranking import Comparison, Rank, compare_rows
from levelfield.statistics.verdicts import Verdict, verdict

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
    "Verdict",
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
    "verdict",
]
