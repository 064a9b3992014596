"""Statistics: arrays of scores in, frozen values with estimate, interval, method and assumption out."""

from levelfield.statistics.against_published_value import (
    AgainstPublished,
    Conditions,
    against_published,
    not_comparable,
)
from levelfield.statistics.comparison import MARGIN, Comparison, Rank, compare_rows
from levelfield.statistics.holm import ALPHA, holm
from levelfield.statistics.intervals import Estimate, further_run, sample_interval, seeds_interval
from levelfield.statistics.pairwise import (
    Difference,
    Interval,
    McNemar,
    Strict,
    mcnemar_test,
    probability_of_beating,
    sign_flip,
)
from levelfield.statistics.permutation import Permutation
from levelfield.statistics.power import as_seen, seeds_needed
from levelfield.statistics.row_intervals import RowIntervals
from levelfield.statistics.row_scores import RowScores
from levelfield.statistics.variance import flip_variance
from levelfield.statistics.verdicts import VERDICTS, Verdict, verdict

__all__ = [
    "ALPHA",
    "AgainstPublished",
    "Comparison",
    "Conditions",
    "Difference",
    "Estimate",
    "Interval",
    "MARGIN",
    "McNemar",
    "Permutation",
    "Rank",
    "RowIntervals",
    "RowScores",
    "Strict",
    "VERDICTS",
    "Verdict",
    "against_published",
    "as_seen",
    "compare_rows",
    "flip_variance",
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
