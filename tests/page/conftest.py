"""The synthetic study, for every test of the page."""

from synthetic_runs import study

__all__ = ["study"]
