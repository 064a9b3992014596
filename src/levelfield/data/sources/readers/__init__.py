"""Readers: one a form in which data sets are published."""
