"""The synthetic study, for every test of tables."""

from synthetic_runs import profiles, study, two_rows

__all__ = ["profiles", "study", "two_rows"]
