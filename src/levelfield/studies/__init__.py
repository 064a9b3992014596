"""Comparisons: what a study declares, how it is carried out, what is done with its results."""
